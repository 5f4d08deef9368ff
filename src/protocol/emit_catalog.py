"""C++ of the message catalog: for every message a function that fills it and one that compares two of it.

Only tests and fuzzers use it (catalog/message_catalog.h).
"""
from emit import condition, element_type


def _fill(message, struct, scope):
    out = [f'void fill([[maybe_unused]] Filler& f, [[maybe_unused]] {scope}& x, [[maybe_unused]] int16_t wire_version) {{']
    for field in struct.fields:
        present = field.versions.intersect(struct.versions)
        if present.empty():
            continue
        guard = condition(field.versions, struct.versions)
        allowed = (condition(field.nullable, present) or 'true') if field.nullable else 'false'
        kind = f'{message.name}::{field.struct.name}' if field.struct else element_type(field)
        if field.array and field.struct and field.nullable:
            line = f'f.nullable_structs(x.{field.name}, {allowed}, wire_version);'
        elif field.array and field.struct:
            line = f'f.structs(x.{field.name}, wire_version);'
        elif field.array and field.nullable:
            line = f'f.nullable_values(x.{field.name}, {allowed});'
        elif field.array:
            line = f'f.values(x.{field.name});'
        elif field.struct and field.nullable:
            line = f'x.{field.name} = f.nullable_struct<{kind}>({allowed}, wire_version);'
        elif field.struct:
            line = f'fill(f, x.{field.name}, wire_version);'
        elif field.base == 'records':
            line = f'f.records(x.{field.name}, {allowed});'
        elif field.nullable:
            line = f'f.nullable(x.{field.name}, {allowed});'
        else:
            line = f'f.value(x.{field.name});'
        out.append(f'  if ({guard}) {line}' if guard else f'  {line}')
    return out + ['}']


def _same(struct, scope):
    equal = ' && '.join(f'same(a.{f.name}, b.{f.name})' for f in struct.fields) or 'true'
    return [f'bool same([[maybe_unused]] const {scope}& a, [[maybe_unused]] const {scope}& b) {{', f'  return {equal};', '}']


def source(schemas):
    out = ['// Generated from src/protocol/schema. Do not edit.', '#include "protocol/catalog/message_catalog.h"', '']
    out += [f'#include "protocol/messages/{schema.name}.h"' for schema in schemas]
    out += ['', 'namespace weir::protocol {', '']
    rows = []
    for schema in schemas:
        for message in schema.messages:
            for struct in message.structs + [message.root]:
                scope = message.name if struct is message.root else f'{message.name}::{struct.name}'
                out += _fill(message, struct, scope) + _same(struct, scope)
            kind = 'k' + ''.join(part.capitalize() for part in message.kind.split())
            key = message.api_key if message.api_key is not None else -1
            rows.append(f'    {{"{message.name}", MessageKind::{kind}, {key}, {message.versions.low}, {message.versions.high}, '
                        f'{message.flexible}, &recode<{message.name}>, &round_trip<{message.name}>}},')
    out += ['', 'namespace {', 'constexpr MessageType kCatalog[] = {'] + rows + ['};', '}  // namespace', '',
            'std::span<const MessageType> message_catalog() { return kCatalog; }', '', '}  // namespace weir::protocol', '']
    return '\n'.join(out)
