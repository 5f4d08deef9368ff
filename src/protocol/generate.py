#!/usr/bin/env python3
"""Writes the C++ of all protocol messages, API keys and error codes.

    generate.py SCHEMA_DIRECTORY OUTPUT_DIRECTORY SOURCE_COUNT

writes OUTPUT/messages/<schema file>.h, OUTPUT/messages_<i>.cc for i < SOURCE_COUNT (messages spread evenly: a source
file per message costs more to compile than what is in it), OUTPUT/api_key.h, api_key.cc, errors.h, errors.cc,
and for tests catalog/message_catalog.cc.
A file whose content would not change is left alone.
"""
import sys
from pathlib import Path

import emit
import emit_catalog
from schema import load, SchemaError


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def spread(schemas, count):
    """Groups of about the same size; a schema keeps its group as long as sizes change little."""
    groups, sizes = [[] for _ in range(count)], [0] * count
    weight = {s.name: sum(len(x.fields) + 4 for m in s.messages for x in [m.root] + m.structs) for s in schemas}
    for schema in sorted(schemas, key=lambda s: (-weight[s.name], s.name)):
        smallest = sizes.index(min(sizes))
        groups[smallest].append(schema)
        sizes[smallest] += weight[schema.name]
    return [sorted(group, key=lambda s: s.name) for group in groups]


def camel(name):
    return 'k' + ''.join(part.capitalize() for part in name.split('_'))


def errors_header(errors):
    codes = '\n'.join(f'  {camel(name)} = {code},' for code, name, _, _ in errors)
    return f'''// Generated from src/protocol/schema/errors.txt. Do not edit.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace weir::protocol {{

// Error codes as they travel in responses.
enum class ErrorCode : int16_t {{
{codes}
}};

std::string_view error_name(ErrorCode error);                // e.g. UNKNOWN_TOPIC_OR_PARTITION
bool is_retriable(ErrorCode error);                          // clients repeat the request
bool refreshes_metadata(ErrorCode error);                    // clients ask for metadata before they do
std::optional<ErrorCode> error_from_code(int16_t code);      // nothing for codes we do not know
constexpr int16_t code(ErrorCode error) {{ return static_cast<int16_t>(error); }}

}}  // namespace weir::protocol
'''


def errors_source(errors):
    first = errors[0][0]
    if [e[0] for e in errors] != list(range(first, first + len(errors))):
        raise SchemaError('error codes have gaps')
    flag = {True: 'true', False: 'false'}
    rows = '\n'.join(f'    {{"{name}", {flag[retriable]}, {flag[refresh]}}},' for _, name, retriable, refresh in errors)
    return f'''// Generated from src/protocol/schema/errors.txt. Do not edit.
#include "protocol/errors.h"

namespace weir::protocol {{
namespace {{
struct Row {{
  std::string_view name;
  bool retriable;
  bool refresh;
}};
constexpr int16_t kFirst = {first};
constexpr Row kRows[] = {{
{rows}
}};
constexpr int kCount = sizeof kRows / sizeof kRows[0];

// Codes outside the table, which only a cast can make, count as the unknown error.
const Row& row(ErrorCode error) {{
  const int index = code(error) - kFirst;
  return kRows[index >= 0 && index < kCount ? index : 0];
}}
}}  // namespace

std::string_view error_name(ErrorCode error) {{ return row(error).name; }}
bool is_retriable(ErrorCode error) {{ return row(error).retriable; }}
bool refreshes_metadata(ErrorCode error) {{ return row(error).refresh; }}
std::optional<ErrorCode> error_from_code(int16_t value) {{
  if (value < kFirst || value >= kFirst + kCount) return std::nullopt;
  return static_cast<ErrorCode>(value);
}}

}}  // namespace weir::protocol
'''


def api_rows(schemas):
    rows = {}
    for schema in schemas:
        by_kind = {m.kind: m for m in schema.messages}
        for key, name in schema.apis:
            rows[key] = (name, by_kind.get('request'), by_kind.get('response'))
    return rows


def api_header(rows):
    keys = '\n'.join(f'  k{rows[key][0]} = {key},' for key in sorted(rows))
    return f'''// Generated from src/protocol/schema. Do not edit.
#pragma once

#include <cstdint>

namespace weir::protocol {{

enum class ApiKey : int16_t {{
{keys}
}};
inline constexpr int16_t kLastApiKey = {max(rows)};

}}  // namespace weir::protocol
'''


def api_source(rows):
    table = []
    for key in range(max(rows) + 1):
        if key not in rows:
            table.append('    {},')
            continue
        name, request, response = rows[key]
        if request is None:
            table.append(f'    {{"{name}", false, 0, -1, -1, 32767}},')
            continue
        if (request.versions.low, request.versions.high, request.flexible) != \
                (response.versions.low, response.versions.high, response.flexible):
            raise SchemaError(f'{name}: request and response differ in versions')
        stable = request.versions.high - (1 if request.unstable else 0)
        table.append(f'    {{"{name}", true, {request.versions.low}, {request.versions.high}, {stable}, {request.flexible}}},')
    lines = '\n'.join(table)
    return f'''// Generated from src/protocol/schema. Do not edit.
#include "protocol/api.h"

namespace weir::protocol {{
namespace {{
// By API key; keys that are not ours have no name.
constexpr Api kApis[] = {{
{lines}
}};
}}  // namespace

std::span<const Api> api_table() {{ return kApis; }}

}}  // namespace weir::protocol
'''


def main():
    directory, output, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    schemas = load(directory)
    with_messages = [s for s in schemas if s.messages]
    for schema in with_messages:
        write(output / 'messages' / f'{schema.name}.h', emit.header(schema))
    for i, group in enumerate(spread(with_messages, count)):
        write(output / f'messages_{i}.cc', emit.source(group))
    write(output / 'catalog' / 'message_catalog.cc', emit_catalog.source(with_messages))
    errors = [e for s in schemas for e in s.errors]
    write(output / 'errors.h', errors_header(errors))
    write(output / 'errors.cc', errors_source(errors))
    rows = api_rows(schemas)
    write(output / 'api_key.h', api_header(rows))
    write(output / 'api_key.cc', api_source(rows))


if __name__ == '__main__':
    try:
        main()
    except SchemaError as error:
        sys.exit(f'generate.py: {error}')
