// What a fuzzer does with one input. Each function stops the process if the decoder breaks a promise; bytes
// that are merely wrong are fine; true means that they were right. The same functions run over a fixed set of
// inputs as a unit test.
#pragma once

#include "base/bytes.h"

namespace weir::fuzz {

// A request frame as a connection receives it: request header, body.
bool fuzz_request(Bytes frame);
// API key and version (16 bit each), then a response frame: response header, body.
bool fuzz_response(Bytes input);
// Which message and version of the catalogue that is neither request nor response (8 bit each), then its
// bytes.
bool fuzz_stored_message(Bytes input);
// A records field or a log segment: record batches behind each other.
bool fuzz_record_batches(Bytes blob);
// Client metrics in OpenTelemetry's encoding, decompressed.
bool fuzz_otlp_metrics(Bytes message);

}  // namespace weir::fuzz
