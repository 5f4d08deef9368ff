#include "protocol/otlp_metrics.h"

#include <bit>
#include <charconv>
#include <vector>

namespace weir::protocol {
namespace {

enum Wire : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct Field {
  uint32_t number = 0;
  uint32_t wire = 0;
  uint64_t value = 0;  // of a varint or fixed number
  Bytes bytes;         // of anything that has a length

  bool is(uint32_t wanted, Wire as) const { return number == wanted && wire == as; }
  std::string_view text() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
};

// The fields of one message.
class Fields {
 public:
  explicit Fields(Bytes rest) : rest_(rest) {}

  // False at the end and on a fault.
  bool next(Field& field) {
    if (rest_.empty() || !ok_) return false;
    uint64_t tag = 0;
    if (!varint(tag) || tag > UINT32_MAX || tag >> 3 == 0) return fault();
    field.number = static_cast<uint32_t>(tag >> 3);
    field.wire = static_cast<uint32_t>(tag & 7);
    switch (field.wire) {
      case kVarint:
        return varint(field.value) || fault();
      case kFixed64:
        return fixed(8, field.value) || fault();
      case kFixed32:
        return fixed(4, field.value) || fault();
      case kBytes: {
        uint64_t size = 0;
        if (!varint(size) || size > rest_.size()) return fault();
        field.bytes = rest_.first(static_cast<size_t>(size));
        rest_ = rest_.subspan(static_cast<size_t>(size));
        return true;
      }
      default:  // groups, which nobody writes any more
        return fault();
    }
  }
  bool ok() const { return ok_; }

 private:
  bool fault() {
    ok_ = false;
    return false;
  }
  bool varint(uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const uint8_t byte = rest_.front();
      rest_ = rest_.subspan(1);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool fixed(size_t size, uint64_t& value) {
    if (rest_.size() < size) return false;
    value = 0;
    for (size_t i = 0; i < size; ++i) value |= uint64_t{rest_[i]} << (8 * i);
    rest_ = rest_.subspan(size);
    return true;
  }

  Bytes rest_;
  bool ok_ = true;
};

// Calls on_field(field) for each field; false if one is faulty or on_field returns false.
template <typename OnField>
bool each_field(Bytes message, OnField on_field) {
  Fields fields(message);
  for (Field field; fields.next(field);) {
    if (!on_field(field)) return false;
  }
  return fields.ok();
}

std::string text_of(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return {buffer, end.ptr};
}

// An AnyValue; nothing of lists and the like.
bool decode_any(Bytes message, std::string& value) {
  return each_field(message, [&](const Field& field) {
    if (field.is(1, kBytes)) value = field.text();
    if (field.is(2, kVarint)) value = field.value != 0 ? "true" : "false";
    if (field.is(3, kVarint)) value = std::to_string(static_cast<int64_t>(field.value));
    if (field.is(4, kFixed64)) value = text_of(std::bit_cast<double>(field.value));
    return true;
  });
}

bool decode_attribute(Bytes message, OtlpAttribute& attribute) {
  return each_field(message, [&](const Field& field) {
    if (field.is(1, kBytes)) attribute.key = field.text();
    if (field.is(2, kBytes)) return decode_any(field.bytes, attribute.value);
    return true;
  });
}

class Decoder {
 public:
  explicit Decoder(const std::function<void(const OtlpPoint&)>& visit) : visit_(visit) {
    attributes_.reserve(kOtlpAttributesMax);
  }

  bool metric(Bytes message) {
    OtlpPoint point;
    // The name and the data may come in either order.
    const bool readable = each_field(message, [&](const Field& field) {
      if (field.is(1, kBytes)) point.metric = field.text();
      return true;
    });
    return readable && each_field(message, [&](const Field& field) {
             if (field.is(5, kBytes)) return gauge(field.bytes, point);
             if (field.is(7, kBytes)) return sum(field.bytes, point);
             return true;
           });
  }

 private:
  bool gauge(Bytes message, OtlpPoint point) {
    return each_field(message, [&](const Field& field) { return !field.is(1, kBytes) || data_point(field.bytes, point); });
  }

  bool sum(Bytes message, OtlpPoint point) {
    constexpr uint64_t kDelta = 1;
    point.sum = true;
    // What kind of sum it is stands behind its points.
    const bool readable = each_field(message, [&](const Field& field) {
      if (field.is(2, kVarint)) point.delta = field.value == kDelta;
      if (field.is(3, kVarint)) point.monotonic = field.value != 0;
      return true;
    });
    return readable && gauge(message, point);
  }

  bool data_point(Bytes message, OtlpPoint point) {
    attributes_.clear();
    bool has_value = false;
    const bool readable = each_field(message, [&](const Field& field) {
      if (field.is(4, kFixed64)) {
        point.value = std::bit_cast<double>(field.value);
        has_value = true;
      } else if (field.is(6, kFixed64)) {
        point.value = static_cast<double>(static_cast<int64_t>(field.value));
        has_value = true;
      } else if (field.is(7, kBytes) && attributes_.size() < kOtlpAttributesMax) {
        return decode_attribute(field.bytes, attributes_.emplace_back());
      }
      return true;
    });
    if (!readable) return false;
    point.attributes = attributes_;
    if (has_value) visit_(point);
    return true;
  }

  const std::function<void(const OtlpPoint&)>& visit_;
  std::vector<OtlpAttribute> attributes_;
};

}  // namespace

bool decode_otlp_metrics(Bytes data, const std::function<void(const OtlpPoint&)>& visit) {
  Decoder decoder(visit);
  const auto scope = [&](const Field& field) { return !field.is(2, kBytes) || decoder.metric(field.bytes); };
  const auto resource = [&](const Field& field) { return !field.is(2, kBytes) || each_field(field.bytes, scope); };
  return each_field(data, [&](const Field& field) { return !field.is(1, kBytes) || each_field(field.bytes, resource); });
}

}  // namespace weir::protocol
