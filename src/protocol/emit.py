"""C++ for the messages of a schema: structure declarations, decode, encode."""
from schema import FOREVER, PRIMITIVES, Range, SchemaError

CPP = {'bool': 'bool', 'int8': 'int8_t', 'int16': 'int16_t', 'uint16': 'uint16_t', 'int32': 'int32_t',
       'uint32': 'uint32_t', 'int64': 'int64_t', 'float64': 'double', 'uuid': 'Uuid', 'string': 'std::string_view',
       'bytes': 'Bytes', 'records': 'Records'}
CALL = {'bool': 'boolean', 'int8': 'i8', 'int16': 'i16', 'uint16': 'u16', 'int32': 'i32', 'uint32': 'u32',
        'int64': 'i64', 'float64': 'f64', 'uuid': 'uuid'}
KEYWORDS = {'default', 'delete', 'new', 'operator', 'private', 'register', 'template', 'this', 'union', 'using',
            'namespace', 'class', 'struct', 'public', 'protected', 'export', 'import', 'module', 'switch', 'char'}


def element_type(field):
    return field.struct.name if field.struct else CPP[field.base]


def cpp_type(field):
    name = element_type(field)
    if field.array:
        return f'std::optional<std::span<{name}>>' if field.nullable else f'std::span<{name}>'
    if field.struct:
        return f'const {name}*' if field.nullable else name
    if field.nullable and field.base in ('string', 'bytes'):
        return f'std::optional<{name}>'
    if field.nullable and field.base != 'records':
        raise SchemaError(f'{field.name}: {field.base} cannot be null')
    return name


def initialiser(field):
    if field.is_struct() and field.nullable:
        if field.default != 'null' and field.tag is None:
            raise SchemaError(f'{field.name}: a structure that may be null must default to null or be tagged')
        return ' = nullptr'
    if field.default == 'null':
        return '{}'
    if field.array:
        return f' = std::span<{element_type(field)}>()' if field.nullable else '{}'
    if field.base in ('string', 'bytes') and field.nullable:
        return f' = {CPP[field.base]}()'
    if field.base in PRIMITIVES and field.base != 'uuid':
        return f' = {field.default or ("false" if field.base == "bool" else "0")}'
    if field.default is not None:
        raise SchemaError(f'{field.name}: default {field.default} is not supported')
    return '{}'


def differs_from_default(field):
    """An expression: the field holds something else than its default."""
    name = field.name
    if field.base == 'records':
        raise SchemaError(f'{name}: records must be in every version')
    if field.default == 'null':
        return f'{name} != nullptr' if field.is_struct() else f'{name}.has_value()'
    if field.nullable and field.is_struct():
        return f'({name} == nullptr || !{name}->is_default())'
    if field.nullable:
        return f'(!{name} || !{name}->empty())'
    if field.array or field.base in ('string', 'bytes'):
        return f'!{name}.empty()'
    if field.struct:
        return f'!{name}.is_default()'
    if field.base == 'uuid':
        return f'!{name}.is_zero()'
    if field.base == 'bool':
        return f'!{name}' if field.default == 'true' else name
    return f'{name} != {field.default or 0}'


def condition(versions, within):
    """An expression for `version is in versions`, knowing that it is in `within`; None if that is always so."""
    parts = []
    if versions.low > within.low:
        parts.append(f'wire_version >= {versions.low}')
    if versions.high < within.high:
        parts.append(f'wire_version <= {versions.high}')
    if versions.intersect(within).empty():
        return 'false'
    return ' && '.join(parts) or None


def negated(text):
    return f'!({text})' if '&&' in text else text.replace('>=', '<') if '>=' in text else text.replace('<=', '>')


class Emitter:
    """One message's code."""

    def __init__(self, message):
        self.message = message
        flexible = message.flexible
        if flexible <= message.versions.low:
            self.flexible = 'true'
        elif flexible > message.versions.high:
            self.flexible = 'false'
        else:
            self.flexible = 'flexible'

    def _fx(self, field, within):
        if field.rigid:
            return 'false'
        present = field.versions.intersect(within)
        if present.low >= self.message.flexible:
            return 'true'
        return 'false' if present.high < self.message.flexible else self.flexible

    # Declarations.

    def declaration(self):
        m = self.message
        flexible = f', flexible from {m.flexible}' if m.flexible <= m.versions.high else ''
        what = f'API key {m.api_key}' if m.api_key is not None else m.kind
        if m.record_type is not None:
            what = f'type {m.record_type} {m.kind}'
        out = [f'// {what}, versions {m.versions}{flexible}.', f'struct {m.name} {{']
        if m.api_key is not None:
            out.append(f'  static constexpr int16_t kApiKey = {m.api_key};')
        if m.record_type is not None:
            out.append(f'  static constexpr int16_t kRecordType = {m.record_type};')
        out += [f'  static constexpr int16_t kMinVersion = {m.versions.low};',
                f'  static constexpr int16_t kMaxVersion = {m.versions.high};',
                f'  static constexpr int16_t kFlexibleFrom = {m.flexible};', '']
        for struct in m.structs:
            out += [f'  struct {struct.name} {{'] + self._members(struct, '    ')
            out += ['    void decode(Reader& r, int16_t wire_version);', '    void encode(Writer& w, int16_t wire_version) const;']
            if struct.in_array:
                out.append('    static size_t min_wire_size(int16_t wire_version);')
            if struct.compared:
                out.append('    bool is_default() const;')
            out += ['  };', '']
        out += self._members(m.root, '  ')
        out += ['  bool decode(Reader& r, int16_t wire_version);', '  void encode(Writer& w, int16_t wire_version) const;', '};', '']
        return out

    def _members(self, struct, indent):
        out = []
        for field in struct.fields:
            if field.name in KEYWORDS:
                raise SchemaError(f'{struct.name}.{field.name} is a C++ keyword')
            note = '' if field.versions.covers(struct.versions) else f'  // {field.versions}'
            out.append(f'{indent}{cpp_type(field)} {field.name}{initialiser(field)};{note}')
        return out

    # Definitions.

    def definitions(self):
        out = []
        for struct in self.message.structs:
            scope = f'{self.message.name}::{struct.name}'
            out += [f'void {scope}::decode(Reader& r, [[maybe_unused]] int16_t wire_version) {{'] + self._decode(struct) + ['}']
            out += [f'void {scope}::encode(Writer& w, [[maybe_unused]] int16_t wire_version) const {{'] + self._encode(struct) + ['}']
            if struct.in_array:
                out += self._min_wire_size(struct, scope)
            if struct.compared:
                different = ' || '.join(differs_from_default(f) for f in struct.fields)
                out += [f'bool {scope}::is_default() const {{ return !({different}); }}']
        m = self.message
        check = 'if (wire_version < kMinVersion || wire_version > kMaxVersion) '
        out += [f'bool {m.name}::decode(Reader& r, int16_t wire_version) {{', f'  *this = {m.name}{{}};',
                f'  {check}r.fail("{m.name}: version not supported");'] + self._decode(m.root) + ['  return r.ok();', '}']
        out += [f'void {m.name}::encode(Writer& w, int16_t wire_version) const {{',
                f'  {check}return w.fail("{m.name}: version not supported");'] + self._encode(m.root) + ['}', '']
        return out

    def _flexible_line(self, struct):
        return [f'  [[maybe_unused]] const bool flexible = wire_version >= {self.message.flexible};'] if self.flexible == 'flexible' else []

    def _decode(self, struct):
        out = self._flexible_line(struct)
        for field in struct.fields:
            if field.tag is not None or field.versions.intersect(struct.versions).empty():
                continue
            guard = condition(field.versions, struct.versions)
            lines = self._decode_value(field, self._fx(field, struct.versions), struct.versions)
            out += _guarded(guard, lines)
        if self.flexible == 'false' or struct.versions.high < self.message.flexible:
            return out
        tagged, before = [], []
        for field in struct.tagged():
            if field.versions.intersect(struct.versions).empty():
                continue
            body = self._decode_value(field, 'true', struct.versions)
            if field.is_struct() and field.nullable and field.default != 'null':
                before.append(f'{field.name} = r.empty_struct<{field.struct.name}>();')
            guard = condition(field.versions, Range(max(struct.versions.low, self.message.flexible), struct.versions.high))
            if guard:
                body = [f'if ({negated(guard)}) r.fail("tagged field not valid in this version");'] + body
            tagged += [f'    case {field.tag}:'] + ['      ' + line for line in body] + ['      break;']
        if tagged:
            loop = before + ['for (TagReader tags(r); tags.next();) {', '  switch (tags.tag()) {'] + tagged + \
                   ['    default:', '      tags.skip();', '  }', '}']
        else:
            loop = ['for (TagReader tags(r); tags.next();) tags.skip();']
        return out + _guarded(self._flexible_guard(struct), loop)

    def _flexible_guard(self, struct):
        return None if struct.versions.low >= self.message.flexible else f'wire_version >= {self.message.flexible}'

    def _decode_value(self, field, fx, within):
        name, kind = field.name, element_type(field)
        nullable = 'nullable_' if field.nullable else ''
        tagged = 'tagged_' if field.tag is not None else ''
        if field.array and field.struct:
            lines = [f'{name} = r.{nullable}structs<{kind}>({fx}, wire_version);']
        elif field.array:
            lines = [f'{name} = r.{nullable}values<{kind}>({fx});']
        elif field.struct:
            lines = [f'{name} = r.{tagged}nullable_struct<{kind}>(wire_version);' if field.nullable else f'{name}.decode(r, wire_version);']
        elif field.base == 'records':
            null_allowed = condition(field.nullable, within) if field.nullable else 'false'
            return [f'{name} = r.records({fx}, {null_allowed or "true"});']
        elif field.base in ('string', 'bytes'):
            lines = [f'{name} = r.{nullable}{field.base}({fx});']
        else:
            return [f'{name} = r.{CALL[field.base]}();']
        if field.nullable:
            allowed = condition(field.nullable, field.versions.intersect(within))
            if allowed:
                present = f'{name} != nullptr' if field.is_struct() else f'{name}.has_value()'
                lines.append(f'if ({negated(allowed)}) r.require({present});')
        return lines

    def _encode(self, struct):
        out, owner = self._flexible_line(struct), struct.name
        for field in struct.fields:
            if field.tag is None and not field.versions.intersect(struct.versions).empty():
                guard = condition(field.versions, struct.versions)
                out += _guarded(guard, self._encode_value(field, self._fx(field, struct.versions), struct, owner))
            missing = None if field.ignorable else condition(field.versions, struct.versions)
            if missing:
                text = f'{self.message.name}: {owner}.{field.name} is not in this version'
                out.append(f'  if ({negated(missing)}) {{')
                out.append(f'    if ({differs_from_default(field)}) w.fail("{text}");')
                out.append('  }')
        if self.flexible == 'false' or struct.versions.high < self.message.flexible:
            return out
        return out + _guarded(self._flexible_guard(struct), self._encode_tags(struct, owner))

    def _encode_tags(self, struct, owner):
        names, lines = [], []
        within = Range(max(struct.versions.low, self.message.flexible), struct.versions.high)
        for field in struct.tagged():
            if field.versions.intersect(within).empty():
                continue
            guard = condition(field.versions, within)
            present = differs_from_default(field)
            flag = f'has_{field.tag}'
            names.append(flag)
            lines.append(f'const bool {flag} = {guard + " && " if guard else ""}{present};')
        if not names:
            return ['w.uvarint(0);']
        lines.append('w.uvarint(' + ' + '.join(f'({n} ? 1u : 0u)' for n in names) + ');')
        for field in struct.tagged():
            flag = f'has_{field.tag}'
            if flag in names:
                lines += [f'if ({flag}) {{', f'  const size_t tag = w.begin_tag({field.tag});']
                lines += ['  ' + line for line in self._encode_value(field, 'true', struct, owner)]
                lines += ['  w.end_tag(tag);', '}']
        return lines

    def _encode_value(self, field, fx, struct, owner):
        name, kind = field.name, element_type(field)
        nullable = 'nullable_' if field.nullable else ''
        tagged = 'tagged_' if field.tag is not None else ''
        if field.base == 'records':
            null_allowed = condition(field.nullable, struct.versions) if field.nullable else 'false'
            return [f'w.records({name}, {fx}, {null_allowed or "true"});']
        lines = []
        if field.nullable:
            allowed = condition(field.nullable, field.versions.intersect(struct.versions))
            if allowed:
                text = f'{self.message.name}: {owner}.{name} must not be null in this version'
                lines.append(f'if (({negated(allowed)}) && !{name}) w.fail("{text}");')
        if field.array and field.struct:
            return lines + [f'w.{nullable}structs<{kind}>({name}, {fx}, wire_version);']
        if field.array:
            return lines + [f'w.{nullable}values<{kind}>({name}, {fx});']
        if field.struct:
            return lines + [f'w.{tagged}nullable_struct({name}, wire_version);' if field.nullable else f'{name}.encode(w, wire_version);']
        if field.base in ('string', 'bytes'):
            return lines + [f'w.{nullable}{field.base}({name}, {fx});']
        if name == 'error_code' or (name == 'throttle_time_ms' and struct is self.message.root):
            return [f'w.{name}({name});']
        return [f'w.{CALL[field.base]}({name});']

    # Smallest sizes.

    def _size(self, struct, version):
        flexible, size = version >= self.message.flexible, 0
        for field in struct.fields:
            if field.tag is not None or not field.versions.contains(version):
                continue
            compact = flexible and not field.rigid
            if field.array or field.base in ('bytes', 'records'):
                size += 1 if compact else 4
            elif field.base == 'string':
                size += 1 if compact else 2
            elif field.struct:
                size += 1 if field.nullable else self._size(field.struct, version)
            else:
                size += PRIMITIVES[field.base]
        return size + (1 if flexible else 0)

    def _min_wire_size(self, struct, scope):
        steps, previous = [], None
        for version in range(struct.versions.low, min(struct.versions.high, self.message.versions.high) + 1):
            size = self._size(struct, version)
            if size != previous:
                steps.append((version, size))
            previous = size
        text = str(steps[0][1])
        for version, size in steps[1:]:
            text = f'wire_version >= {version} ? {size} : {text}'
        return [f'size_t {scope}::min_wire_size([[maybe_unused]] int16_t wire_version) {{ return {text}; }}']


def _guarded(guard, lines):
    if guard is None:
        return ['  ' + line for line in lines]
    if len(lines) == 1 and not lines[0].startswith('for'):
        return [f'  if ({guard}) {lines[0]}']
    return [f'  if ({guard}) {{'] + ['    ' + line for line in lines] + ['  }']


def header(schema):
    out = [f'// Generated from src/protocol/schema/{schema.name}.txt. Do not edit.', '#pragma once', '',
           '#include "protocol/wire.h"', '', 'namespace weir::protocol {', '']
    for message in schema.messages:
        out += Emitter(message).declaration()
    return '\n'.join(out + ['}  // namespace weir::protocol', ''])


def source(schemas):
    out = ['// Generated from src/protocol/schema. Do not edit.']
    out += [f'#include "protocol/messages/{schema.name}.h"' for schema in schemas]
    out += ['', 'namespace weir::protocol {', '']
    for schema in schemas:
        for message in schema.messages:
            out += Emitter(message).definitions()
    return '\n'.join(out + ['}  // namespace weir::protocol', ''])
