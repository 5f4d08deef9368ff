// The APIs of a broker without authorizer, credentials and quotas, as Kafka answers them. DescribeAcls, CreateAcls and DeleteAcls
// (keys 29-31, versions 1-3) answer SECURITY_DISABLED. DescribeUserScramCredentials (key 50) and DescribeClientQuotas (key 48,
// versions 0-1) find none.
//
// Deviation: AlterUserScramCredentials (key 51) and AlterClientQuotas (key 49) are refused, since nothing would act on them.
#pragma once

#include <string_view>

#include "broker/broker.h"
#include "broker/server/request_context.h"
#include "protocol/errors.h"

namespace weir::broker {

void handle_describe_acls(Broker& broker, RequestContextPtr context);
void handle_create_acls(Broker& broker, RequestContextPtr context);
void handle_delete_acls(Broker& broker, RequestContextPtr context);
void handle_describe_user_scram_credentials(Broker& broker, RequestContextPtr context);
// Answers an AlterUserScramCredentials request with `error` for each user it names. `why` outlives the request.
void refuse_scram_alterations(RequestContextPtr context, protocol::ErrorCode error, std::string_view why);
void handle_alter_user_scram_credentials(Broker& broker, RequestContextPtr context);
void handle_describe_client_quotas(Broker& broker, RequestContextPtr context);
void handle_alter_client_quotas(Broker& broker, RequestContextPtr context);

}  // namespace weir::broker
