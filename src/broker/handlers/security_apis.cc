#include "broker/handlers/security_apis.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <set>
#include <string>

#include "broker/admin/refusal.h"
#include "protocol/errors.h"
#include "protocol/messages/alter_client_quotas.h"
#include "protocol/messages/alter_user_scram_credentials.h"
#include "protocol/messages/create_acls.h"
#include "protocol/messages/delete_acls.h"
#include "protocol/messages/describe_acls.h"
#include "protocol/messages/describe_client_quotas.h"
#include "protocol/messages/describe_user_scram_credentials.h"

namespace weir::broker {
namespace {

using protocol::ErrorCode;

constexpr std::string_view kNoAuthorizer = "No Authorizer is configured.";

// Returns the fault of a filter of DescribeClientQuotas, in Kafka's words. It does not depend on the quotas.
std::optional<Refusal> check_filter(const protocol::DescribeClientQuotasRequest& request) {
  constexpr std::string_view kMatchTypes[] = {"MATCH_TYPE_EXACT", "MATCH_TYPE_DEFAULT", "MATCH_TYPE_SPECIFIED"};
  std::set<std::string_view> seen;
  for (const auto& component : request.components) {
    const std::string_view type = component.entity_type;
    if (type.empty()) return Refusal{ErrorCode::kInvalidRequest, "Invalid empty entity type."};
    if (seen.contains(type)) {
      return Refusal{ErrorCode::kInvalidRequest, fmt::format("Entity type {} cannot appear more than once in the filter.", type)};
    }
    if (type != "ip" && type != "user" && type != "client-id") {
      return Refusal{ErrorCode::kUnsupportedVersion, fmt::format("Unsupported entity type {}", type)};
    }
    if (component.match_type < 0 || component.match_type > 2) {
      return Refusal{ErrorCode::kInvalidRequest, fmt::format("Unknown match type {}", component.match_type)};
    }
    const bool exact = component.match_type == 0;
    if (exact != component.match.has_value()) {
      return Refusal{ErrorCode::kInvalidRequest,
                     fmt::format("Request specified {}, but {}.", kMatchTypes[component.match_type],
                                 exact ? "set match string to null" : "also specified a match string")};
    }
    seen.insert(type);
  }
  if (seen.contains("ip") && seen.size() > 1) {
    return Refusal{ErrorCode::kInvalidRequest,
                   "Invalid entity filter component combination. IP filter component should not be used "
                   "with user or clientId filter component."};
  }
  return std::nullopt;
}

}  // namespace

void handle_describe_acls(Broker&, RequestContextPtr context) {
  protocol::DescribeAclsRequest request;
  if (!context->decode(request)) return;
  protocol::DescribeAclsResponse response;
  response.error_code = code(ErrorCode::kSecurityDisabled);
  response.error_message = "No Authorizer is configured on the broker";
  context->respond(response);
}

void handle_create_acls(Broker&, RequestContextPtr context) {
  protocol::CreateAclsRequest request;
  if (!context->decode(request)) return;
  protocol::CreateAclsResponse response;
  response.results = context->arena().array<protocol::CreateAclsResponse::AclCreationResult>(request.creations.size());
  for (auto& result : response.results) {
    result.error_code = code(ErrorCode::kSecurityDisabled);
    result.error_message = kNoAuthorizer;
  }
  context->respond(response);
}

void handle_delete_acls(Broker&, RequestContextPtr context) {
  protocol::DeleteAclsRequest request;
  if (!context->decode(request)) return;
  protocol::DeleteAclsResponse response;
  response.filter_results = context->arena().array<protocol::DeleteAclsResponse::DeleteAclsFilterResult>(request.filters.size());
  for (auto& result : response.filter_results) {
    result.error_code = code(ErrorCode::kSecurityDisabled);
    result.error_message = kNoAuthorizer;
  }
  context->respond(response);
}

void handle_describe_user_scram_credentials(Broker&, RequestContextPtr context) {
  using Response = protocol::DescribeUserScramCredentialsResponse;
  protocol::DescribeUserScramCredentialsRequest request;
  if (!context->decode(request)) return;
  Response response;
  if (request.users) {
    protocol::Arena& arena = context->arena();
    std::map<std::string_view, int> times;
    for (const auto& user : *request.users) ++times[user.name];
    response.results = arena.array<Response::DescribeUserScramCredentialsResult>(times.size());
    size_t i = 0;
    for (const auto& [name, count] : times) {
      auto& result = response.results[i++];
      const bool once = count == 1;
      result.user = name;
      result.error_code = code(once ? ErrorCode::kResourceNotFound : ErrorCode::kDuplicateResource);
      result.error_message =
          arena.copy((once ? "Attempt to describe a user credential that does not exist: "
                           : "Cannot describe SCRAM credentials for the same user twice in a single request: ") +
                     std::string(name));
    }
  }
  context->respond(response);
}

void refuse_scram_alterations(RequestContextPtr context, ErrorCode error, std::string_view why) {
  using Response = protocol::AlterUserScramCredentialsResponse;
  protocol::AlterUserScramCredentialsRequest request;
  if (!context->decode(request)) return;
  std::set<std::string_view> names;
  for (const auto& deletion : request.deletions) names.insert(deletion.name);
  for (const auto& upsertion : request.upsertions) names.insert(upsertion.name);
  Response response;
  response.results = context->arena().array<Response::AlterUserScramCredentialsResult>(names.size());
  size_t i = 0;
  for (const std::string_view name : names) {
    auto& result = response.results[i++];
    result.user = name;
    result.error_code = code(error);
    result.error_message = why;
  }
  context->respond(response);
}

void handle_alter_user_scram_credentials(Broker&, RequestContextPtr context) {
  refuse_scram_alterations(std::move(context), ErrorCode::kUnsupportedSaslMechanism,
                           "SASL is not available in this version: no listener would ask for these credentials.");
}

void handle_describe_client_quotas(Broker&, RequestContextPtr context) {
  protocol::DescribeClientQuotasRequest request;
  if (!context->decode(request)) return;
  protocol::DescribeClientQuotasResponse response;
  const auto refusal = check_filter(request);
  if (refusal) {
    response.error_code = code(refusal->error);
    response.error_message = refusal->message;
    response.entries = std::nullopt;
  }
  context->respond(response);
}

void handle_alter_client_quotas(Broker&, RequestContextPtr context) {
  using Response = protocol::AlterClientQuotasResponse;
  protocol::AlterClientQuotasRequest request;
  if (!context->decode(request)) return;
  protocol::Arena& arena = context->arena();
  Response response;
  response.entries = arena.array<Response::EntryData>(request.entries.size());
  for (size_t i = 0; i < request.entries.size(); ++i) {
    Response::EntryData& entry = response.entries[i];
    entry.error_code = code(ErrorCode::kInvalidRequest);
    entry.error_message = "Client quotas are not available in this version.";
    const auto& asked = request.entries[i].entity;
    entry.entity = arena.array<Response::EntityData>(asked.size());
    for (size_t k = 0; k < asked.size(); ++k) {
      entry.entity[k].entity_type = asked[k].entity_type;
      entry.entity[k].entity_name = asked[k].entity_name;
    }
  }
  context->respond(response);
}

}  // namespace weir::broker
