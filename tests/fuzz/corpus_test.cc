// Runs the fuzz targets over every foreign message and batch, and over seeded mutations of them, in every
// build.
#include <gtest/gtest.h>

#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "group_record_target.h"
#include "protocol/api.h"
#include "protocol/catalog/message_catalog.h"
#include "protocol_targets.h"

namespace weir::fuzz {
namespace {

using Raw = std::vector<uint8_t>;
using Target = bool (*)(Bytes);

Raw from_hex(const std::string& hex) {
  Raw out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) out.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

void append(Raw& out, Bytes more) { out.insert(out.end(), more.begin(), more.end()); }

// The input whose body is the message: what comes in front depends on the target.
Raw as_input(const protocol::MessageType& type, int16_t version, size_t stored_index, const Raw& body) {
  using protocol::MessageKind;
  protocol::Writer writer;
  const auto key = static_cast<protocol::ApiKey>(type.api_key);
  if (type.kind == MessageKind::kRequest) {
    protocol::RequestHeader header;
    header.api_key = type.api_key;
    header.api_version = version;
    header.client_id = "fuzz";
    header.encode(writer, protocol::request_header_version(key, version));
  } else if (type.kind == MessageKind::kResponse) {
    writer.i16(type.api_key);
    writer.i16(version);
    protocol::ResponseHeader().encode(writer, protocol::response_header_version(key, version));
  } else {
    writer.i8(static_cast<int8_t>(stored_index));
    writer.i8(static_cast<int8_t>(version - type.min_version));
  }
  writer.append(body);
  Raw out;
  append(out, writer.bytes());
  return out;
}

struct Input {
  Target target;
  Raw bytes;
};

std::vector<Input> message_inputs() {
  std::vector<Input> inputs;
  std::ifstream file(WEIR_PROTOCOL_TESTDATA "/golden.txt");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::string name, variant, hex;
    int version = 0;
    std::istringstream(line) >> name >> version >> variant >> hex;
    size_t stored_index = 0;
    for (const auto& type : protocol::message_catalog()) {
      const bool request = type.kind == protocol::MessageKind::kRequest;
      const bool response = type.kind == protocol::MessageKind::kResponse;
      if (type.name == name) {
        inputs.push_back({request    ? fuzz_request
                          : response ? fuzz_response
                                     : fuzz_stored_message,
                          as_input(type, static_cast<int16_t>(version), stored_index, from_hex(hex))});
      }
      if (!request && !response) ++stored_index;
    }
  }
  return inputs;
}

std::vector<Input> batch_inputs() {
  std::vector<Input> inputs;
  std::ifstream file(WEIR_PROTOCOL_TESTDATA "/batches.txt");
  Raw all;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with('#')) continue;
    std::string compression, kind, hex;
    std::istringstream(line) >> compression >> kind >> hex;
    inputs.push_back({fuzz_record_batches, from_hex(hex)});
    append(all, inputs.back().bytes);
  }
  inputs.push_back({fuzz_record_batches, all});
  return inputs;
}

std::vector<Input> metrics_inputs() {
  std::vector<Input> inputs;
  std::ifstream file(WEIR_PROTOCOL_TESTDATA "/otlp_metrics.txt");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with('#')) inputs.push_back({fuzz_otlp_metrics, from_hex(line)});
  }
  return inputs;
}

std::vector<Input> group_record_inputs() {
  std::vector<Input> inputs;
  std::ifstream file(WEIR_GROUP_TESTDATA "/consumer_records.txt");
  for (std::string line; std::getline(file, line);) {
    // The last two are wrong.
    if (line.starts_with('#') || line.find("-twice ") != line.npos || line.find("-negative ") != line.npos) continue;
    std::string name, key, value;
    std::istringstream(line) >> name >> key >> value;
    Raw bytes = {0, static_cast<uint8_t>(key.size() / 2)};
    append(bytes, from_hex(key));
    if (value != "-") append(bytes, from_hex(value));
    inputs.push_back({fuzz_group_record, std::move(bytes)});
  }
  return inputs;
}

// Overwrites, inserts, removes or cuts, a few times.
Raw mutated(Raw bytes, std::mt19937_64& random) {
  for (uint64_t changes = 1 + random() % 4; changes > 0 && !bytes.empty(); --changes) {
    const size_t at = random() % bytes.size();
    const auto where = bytes.begin() + static_cast<ptrdiff_t>(at);
    constexpr uint8_t kEdges[] = {0, 1, 0x7f, 0x80, 0xff};
    switch (random() % 6) {
      case 0:
        bytes[at] = static_cast<uint8_t>(random());
        break;
      case 1:
        bytes[at] = kEdges[random() % std::size(kEdges)];
        break;
      case 2:
        bytes[at] ^= static_cast<uint8_t>(1u << (random() % 8));
        break;
      case 3:
        bytes.insert(where, static_cast<uint8_t>(random()));
        break;
      case 4:
        bytes.erase(where);
        break;
      default:
        bytes.resize(at);
    }
  }
  return bytes;
}

void run(const std::vector<Input>& inputs, int mutations) {
  std::mt19937_64 random(1);
  for (const Input& input : inputs) {
    EXPECT_TRUE(input.target(input.bytes));
    for (int i = 0; i < mutations; ++i) input.target(mutated(input.bytes, random));
  }
}

TEST(Corpus, ClientMetrics) {
  const auto inputs = metrics_inputs();
  EXPECT_FALSE(inputs.empty());
  run(inputs, 2000);
}

TEST(Corpus, GroupRecords) {
  const auto inputs = group_record_inputs();
  EXPECT_GT(inputs.size(), 20u);
  run(inputs, 2000);
}

TEST(Corpus, Messages) {
  const auto inputs = message_inputs();
  EXPECT_GT(inputs.size(), 1000u);
  run(inputs, 50);
}

TEST(Corpus, RecordBatches) {
  const auto inputs = batch_inputs();
  EXPECT_EQ(inputs.size(), 13u);
  run(inputs, 3000);
}

TEST(Corpus, NothingAtAll) {
  for (const Target target : {fuzz_request, fuzz_response, fuzz_stored_message, fuzz_record_batches, fuzz_group_record}) {
    EXPECT_FALSE(target({}));
  }
}

}  // namespace
}  // namespace weir::fuzz
