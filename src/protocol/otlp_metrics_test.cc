#include "protocol/otlp_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace weir::protocol {
namespace {

using ::testing::ElementsAre;

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
std::string number(uint32_t field, uint64_t value) { return varint(field << 3) + varint(value); }
std::string bytes(uint32_t field, const std::string& value) { return varint(field << 3 | 2) + varint(value.size()) + value; }
std::string fixed(uint32_t field, uint64_t value) {
  std::string out = varint(field << 3 | 1);
  for (int i = 0; i < 8; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}
std::string attribute(const std::string& key, const std::string& any) { return bytes(7, bytes(1, key) + bytes(2, any)); }
std::string real(double value) { return fixed(4, std::bit_cast<uint64_t>(value)); }
std::string integer(int64_t value) { return fixed(6, static_cast<uint64_t>(value)); }
std::string data(const std::string& metrics) { return bytes(1, bytes(1, "resource") + bytes(2, metrics)); }

// Lines such as name{key=value}=1 with what kind it is.
std::vector<std::string> decoded(const std::string& message, bool valid = true) {
  std::vector<std::string> lines;
  const bool ok = decode_otlp_metrics(as_bytes(message), [&](const OtlpPoint& point) {
    std::string line(point.metric);
    for (const OtlpAttribute& one : point.attributes) line += "," + std::string(one.key) + "=" + one.value;
    line += " " + std::to_string(point.value);
    if (point.sum) line += " sum";
    if (point.monotonic) line += " monotonic";
    if (point.delta) line += " delta";
    lines.push_back(line);
  });
  EXPECT_EQ(ok, valid);
  return lines;
}

std::string example() {
  const std::string gauge = bytes(
      2, bytes(1, "a.rate") + bytes(2, "help") + bytes(3, "1") +
             bytes(5, bytes(1, fixed(2, 5) + fixed(3, 6) + real(0.5) + attribute("node", bytes(1, "n1"))) +
                          bytes(1, integer(-3) + attribute("id", number(3, 7)) + attribute("ok", number(2, 1)) + number(8, 1))));
  const std::string sum = bytes(2, bytes(1, "a.total") + bytes(7, bytes(1, integer(12)) + number(2, 1) + number(3, 1)));
  const std::string histogram = bytes(2, bytes(1, "a.times") + bytes(9, bytes(1, "whatever")));
  const std::string late_name = bytes(2, bytes(7, number(2, 2) + bytes(1, real(2))) + bytes(1, "late"));
  return data(bytes(1, "scope") + gauge + sum + histogram + late_name);
}

TEST(OtlpMetrics, GaugesAndSums) {
  EXPECT_THAT(decoded(example()), ElementsAre("a.rate,node=n1 0.500000", "a.rate,id=7,ok=true -3.000000",
                                              "a.total 12.000000 sum monotonic delta", "late 2.000000 sum"));
  EXPECT_THAT(decoded(""), ElementsAre());
  EXPECT_THAT(decoded(data(bytes(2, bytes(1, "no.value") + bytes(5, bytes(1, fixed(2, 1)))))), ElementsAre());
}

TEST(OtlpMetrics, WhatLibrdkafkaPushes) {
  std::ifstream file(WEIR_PROTOCOL_TESTDATA "/otlp_metrics.txt");
  std::string line, message;
  while (std::getline(file, line)) {
    if (!line.starts_with('#')) message = line;  // the last one
  }
  std::string bytes;
  for (size_t i = 0; i + 1 < message.size(); i += 2) bytes += static_cast<char>(std::stoi(message.substr(i, 2), nullptr, 16));
  std::map<std::string, double> values;
  size_t of_nodes = 0;
  EXPECT_TRUE(decode_otlp_metrics(as_bytes(bytes), [&](const OtlpPoint& point) {
    values[std::string(point.metric)] = point.value;
    for (const OtlpAttribute& one : point.attributes) of_nodes += one.key == "node.id" ? 1 : 0;
    EXPECT_EQ(point.delta, point.metric.ends_with(".total"));
  }));
  EXPECT_EQ(values.size(), 10u);
  EXPECT_EQ(values.at("org.apache.kafka.producer.connection.creation.total"), 0) << "since the last push";
  EXPECT_EQ(values.at("org.apache.kafka.producer.request.latency.max"), 43);
  EXPECT_DOUBLE_EQ(values.at("org.apache.kafka.producer.request.latency.avg"), 5.796375);
  EXPECT_EQ(of_nodes, 2u);
}

TEST(OtlpMetrics, AttributesHaveABound) {
  std::string point = real(1);
  for (int i = 0; i < 100; ++i) point += attribute("k" + std::to_string(i), bytes(1, "v"));
  size_t count = 0;
  EXPECT_TRUE(decode_otlp_metrics(as_bytes(data(bytes(2, bytes(1, "m") + bytes(5, bytes(1, point))))),
                                  [&](const OtlpPoint& one) { count = one.attributes.size(); }));
  EXPECT_EQ(count, kOtlpAttributesMax);
}

TEST(OtlpMetrics, DamageIsToldAndHarmless) {
  decoded("m", false);                                             // a tag without its value
  decoded(std::string("\x0a\x05xx", 4), false);                    // longer than what is there
  decoded(std::string(12, '\xff'), false);                         // a varint without an end
  decoded(bytes(1, bytes(2, "\x13")), false);                      // a group
  decoded(std::string("\x00\x00", 2), false);                      // field 0
  decoded(data(bytes(2, bytes(5, bytes(1, "\x21\x01")))), false);  // half a number
  // A flag without its value, at the end of the memory: AddressSanitizer sees who reads on.
  for (const std::string& cut :
       {data(bytes(2, bytes(7, "\x18"))), data(bytes(2, bytes(5, bytes(1, bytes(7, bytes(2, "\x10"))))))}) {
    const std::vector<uint8_t> exact(cut.begin(), cut.end());
    EXPECT_FALSE(decode_otlp_metrics(exact, [](const OtlpPoint&) {}));
  }
  const std::string whole = example();
  for (size_t cut = 1; cut < whole.size(); ++cut) {
    EXPECT_FALSE(decode_otlp_metrics(as_bytes(whole.substr(0, cut)), [](const OtlpPoint&) {})) << cut;
  }
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string changed = whole;
    for (int k = 0; k < 3; ++k) changed[random() % changed.size()] = static_cast<char>(random());
    (void)decode_otlp_metrics(as_bytes(changed),
                              [](const OtlpPoint& point) { EXPECT_LE(point.attributes.size(), kOtlpAttributesMax); });
  }
}

}  // namespace
}  // namespace weir::protocol
