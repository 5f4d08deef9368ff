#include "protocol/otlp_metrics.h"

#include <charconv>
#include <protozero/exception.hpp>
#include <protozero/pbf_reader.hpp>
#include <vector>

namespace weir::protocol {
namespace {

using protozero::pbf_reader;
using protozero::pbf_wire_type;

// What stands in a message under `field`, in the encoding it must have there. Another encoding is an unknown field.
constexpr uint32_t bytes_at(uint32_t field) { return protozero::tag_and_type(field, pbf_wire_type::length_delimited); }
constexpr uint32_t varint_at(uint32_t field) { return protozero::tag_and_type(field, pbf_wire_type::varint); }
constexpr uint32_t fixed64_at(uint32_t field) { return protozero::tag_and_type(field, pbf_wire_type::fixed64); }

std::string_view text_of(const protozero::data_view& view) { return {view.data(), view.size()}; }

std::string text_of(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return {buffer, end.ptr};
}

// protozero's get_bool() reads a byte that may be missing.
bool bool_of(pbf_reader& message) { return message.get_uint64() != 0; }

// An AnyValue; nothing of lists and the like.
std::string any_value(pbf_reader message) {
  std::string value;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case bytes_at(1):
        value = text_of(message.get_view());
        break;
      case varint_at(2):
        value = bool_of(message) ? "true" : "false";
        break;
      case varint_at(3):
        value = std::to_string(message.get_int64());
        break;
      case fixed64_at(4):
        value = text_of(message.get_double());
        break;
      default:
        message.skip();
    }
  }
  return value;
}

OtlpAttribute attribute(pbf_reader message) {
  OtlpAttribute attribute;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case bytes_at(1):
        attribute.key = text_of(message.get_view());
        break;
      case bytes_at(2):
        attribute.value = any_value(message.get_message());
        break;
      default:
        message.skip();
    }
  }
  return attribute;
}

class Decoder {
 public:
  explicit Decoder(const std::function<void(const OtlpPoint&)>& visit) : visit_(visit) {
    attributes_.reserve(kOtlpAttributesMax);
  }

  void metric(pbf_reader message) {
    OtlpPoint point;
    // The name and the data may come in either order.
    for (pbf_reader fields = message; fields.next(1, pbf_wire_type::length_delimited);) {
      point.metric = text_of(fields.get_view());
    }
    while (message.next()) {
      switch (message.tag_and_type()) {
        case bytes_at(5):
          points(message.get_message(), point);
          break;
        case bytes_at(7):
          sum(message.get_message(), point);
          break;
        default:
          message.skip();
      }
    }
  }

 private:
  // A gauge is its points, and so is the rest of a sum.
  void points(pbf_reader message, const OtlpPoint& point) {
    while (message.next(1, pbf_wire_type::length_delimited)) data_point(message.get_message(), point);
  }

  void sum(const pbf_reader& message, OtlpPoint point) {
    constexpr uint32_t kDelta = 1;
    point.sum = true;
    // The kind of a sum stands behind its points.
    for (pbf_reader fields = message; fields.next();) {
      switch (fields.tag_and_type()) {
        case varint_at(2):
          point.delta = fields.get_uint32() == kDelta;
          break;
        case varint_at(3):
          point.monotonic = bool_of(fields);
          break;
        default:
          fields.skip();
      }
    }
    points(message, point);
  }

  void data_point(pbf_reader message, OtlpPoint point) {
    attributes_.clear();
    bool has_value = false;
    while (message.next()) {
      switch (message.tag_and_type()) {
        case fixed64_at(4):
          point.value = message.get_double();
          has_value = true;
          break;
        case fixed64_at(6):
          point.value = static_cast<double>(message.get_sfixed64());
          has_value = true;
          break;
        case bytes_at(7):
          if (attributes_.size() < kOtlpAttributesMax) attributes_.push_back(attribute(message.get_message()));
          else message.skip();
          break;
        default:
          message.skip();
      }
    }
    point.attributes = attributes_;
    if (has_value) visit_(point);
  }

  const std::function<void(const OtlpPoint&)>& visit_;
  std::vector<OtlpAttribute> attributes_;
};

}  // namespace

bool decode_otlp_metrics(Bytes data, const std::function<void(const OtlpPoint&)>& visit) {
  try {
    Decoder decoder(visit);
    pbf_reader resources(reinterpret_cast<const char*>(data.data()), data.size());
    while (resources.next(1, pbf_wire_type::length_delimited)) {
      for (pbf_reader scopes = resources.get_message(); scopes.next(2, pbf_wire_type::length_delimited);) {
        for (pbf_reader metrics = scopes.get_message(); metrics.next(2, pbf_wire_type::length_delimited);) {
          decoder.metric(metrics.get_message());
        }
      }
    }
    return true;
  } catch (const protozero::exception&) {
    return false;
  }
}

}  // namespace weir::protocol
