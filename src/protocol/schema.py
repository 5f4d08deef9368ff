"""Reads the message definitions in schema/*.txt (syntax: docs/formats/schema.md) into a small object model."""
import re
from pathlib import Path

FOREVER = 32767
PRIMITIVES = {
    'bool': 1, 'int8': 1, 'int16': 2, 'uint16': 2, 'int32': 4, 'uint32': 4, 'int64': 8, 'float64': 8, 'uuid': 16,
}
VARIABLE = ('string', 'bytes', 'records')
VERSIONS = re.compile(r'^\d+(\+|-\d+)?$')
TYPE = re.compile(r'^(\[\])?(\w+)(\?([0-9+-]+)?)?$')


class SchemaError(Exception):
    pass


class Range:
    """A closed interval of versions."""

    def __init__(self, low, high):
        self.low, self.high = low, high

    @staticmethod
    def parse(text):
        if text.endswith('+'):
            return Range(int(text[:-1]), FOREVER)
        low, _, high = text.partition('-')
        return Range(int(low), int(high or low))

    def intersect(self, other):
        return Range(max(self.low, other.low), min(self.high, other.high))

    def covers(self, other):
        return self.low <= other.low and other.high <= self.high

    def empty(self):
        return self.low > self.high

    def contains(self, version):
        return self.low <= version <= self.high

    def __str__(self):
        if self.high == FOREVER:
            return f'{self.low}+'
        return str(self.low) if self.low == self.high else f'{self.low}-{self.high}'


class Field:
    def __init__(self, name, text_type, attributes, where):
        self.name = name
        match = TYPE.match(text_type)
        if not match:
            raise SchemaError(f'{where}: bad type {text_type}')
        self.array, self.base = bool(match[1]), match[2]
        self.versions = Range(0, FOREVER)
        self.default, self.tag = None, None
        self.ignorable = self.rigid = False
        self.struct = None  # the Struct, if base names one
        self._attributes(attributes, where)
        self.nullable = None
        if match[3]:
            self.nullable = Range.parse(match[4]) if match[4] else self.versions

    def _attributes(self, words, where):
        words = list(words)
        if words and VERSIONS.match(words[0]):
            self.versions = Range.parse(words.pop(0))
        while words:
            word = words.pop(0)
            if word == '=':
                self.default = words.pop(0)
            elif word == 'tag':
                self.tag = int(words.pop(0))
            elif word in ('ignorable', 'rigid'):
                setattr(self, word, True)
            else:
                raise SchemaError(f'{where}: unknown attribute {word}')

    def is_struct(self):
        return self.struct is not None and not self.array


class Struct:
    """A structure of a message; `versions` are those in which some field refers to it."""

    def __init__(self, name):
        self.name = name
        self.fields = []
        self.versions = Range(FOREVER, -1)
        self.in_array = False
        self.compared = False  # somebody needs to know whether it holds only defaults

    def tagged(self):
        return sorted((f for f in self.fields if f.tag is not None), key=lambda f: f.tag)


class Message:
    def __init__(self, kind, name, versions, flexible):
        self.kind, self.name = kind, name
        self.versions, self.flexible = versions, flexible
        self.api_key = self.record_type = None
        self.unstable = False
        self.root = Struct(name)
        self.structs = []  # without the root; a structure comes after those it contains


class Schema:
    """One schema file."""

    def __init__(self, path):
        self.name = Path(path).stem
        self.apis = []  # (key, name)
        self.errors = []  # (code, name, retriable, refresh)
        self.messages = []
        self._parse(Path(path).read_text(), path)
        for message in self.messages:
            _resolve(message, self.name)

    def _parse(self, text, path):
        stack, message, scopes = [], None, {}
        for number, line in enumerate(text.splitlines(), 1):
            where = f'{path}:{number}'
            words = line.split('#')[0].split()
            if not words:
                continue
            if not line.startswith(' '):
                message = self._head(words, where)
                stack, scopes = [(0, message.root)] if message else [], {}
                self._scopes = scopes
                if message:
                    message.declared = scopes
                continue
            if message is None:
                raise SchemaError(f'{where}: a field outside a message')
            depth = (len(line) - len(line.lstrip())) // 2
            while stack[-1][0] >= depth:
                stack.pop()
            if words[0] == 'struct':
                stack.append((depth, _declare(scopes, words[1], where)))
                continue
            field = Field(words[0], words[1], words[2:], where)
            if depth > stack[-1][0] + 1:
                raise SchemaError(f'{where}: indented too far')
            stack[-1][1].fields.append(field)
            if field.base not in PRIMITIVES and field.base not in VARIABLE:
                stack.append((depth, _Inline(scopes, field.base, where)))

    def _head(self, words, where):
        if words[0] == 'api':
            self.apis.append((int(words[1]), words[2]))
            return None
        if words[0] == 'error':
            self.errors.append((int(words[1]), words[2], 'retriable' in words, 'refresh' in words))
            return None
        kind, record_type = words.pop(0), None
        if kind == 'record':
            record_type, kind = int(words.pop(0)), 'record ' + words.pop(0)
        if kind not in ('request', 'response', 'header', 'data', 'record key', 'record value'):
            raise SchemaError(f'{where}: unknown kind {kind}')
        name, versions = words[0], Range.parse(words[1])
        flexible = FOREVER
        if 'flexible' in words:
            flexible = Range.parse(words[words.index('flexible') + 1]).low
        message = Message(kind, name, versions, flexible)
        message.record_type = record_type
        message.unstable = 'unstable' in words
        if kind in ('request', 'response'):
            message.api_key = self.apis[-1][0]
        self.messages.append(message)
        return message


class _Inline:
    """Collects the indented fields of a structure defined where it is used; declares it on the first of them."""

    def __init__(self, scopes, name, where):
        self.scopes, self.name, self.where = scopes, name, where

    @property
    def fields(self):
        if not hasattr(self, 'struct'):
            self.struct = _declare(self.scopes, self.name, self.where)
        return self.struct.fields


def _declare(scopes, name, where):
    if name in scopes:
        raise SchemaError(f'{where}: {name} is defined twice')
    scopes[name] = Struct(name)
    return scopes[name]


def _resolve(message, file_name):
    """Binds types to structures, finds each structure's versions and orders structures by containment."""
    declared, done = message.declared, []

    def visit(struct, versions, path):
        if struct in path:
            raise SchemaError(f'{file_name}: {struct.name} contains itself')
        known = struct.versions
        struct.versions = Range(min(known.low, versions.low), max(known.high, versions.high))
        tags = [f.tag for f in struct.fields if f.tag is not None]
        if tags and sorted(tags) != list(range(len(tags))):
            raise SchemaError(f'{file_name}: tags of {struct.name} are not 0..n-1')
        for field in struct.fields:
            effective = field.versions.intersect(versions)
            if field.base not in PRIMITIVES and field.base not in VARIABLE:
                if field.base not in declared:
                    raise SchemaError(f'{file_name}: {message.name} has no structure {field.base}')
                field.struct = declared[field.base]
                field.struct.in_array |= field.array
                if not effective.empty():
                    visit(field.struct, effective, path + [struct])
        if struct is not message.root and struct not in done:
            done.append(struct)

    visit(message.root, message.versions, [])
    message.structs = done
    _mark_compared(message)


def _mark_compared(message):
    def mark(struct):
        struct.compared = True
        for field in struct.fields:
            if field.is_struct() and not field.nullable:
                mark(field.struct)

    for struct in [message.root] + message.structs:
        for field in struct.fields:
            missing = not field.versions.covers(struct.versions) and not field.ignorable
            by_value = not field.nullable or field.default != 'null'
            if field.is_struct() and by_value and (field.tag is not None or missing):
                mark(field.struct)


def load(directory):
    return [Schema(path) for path in sorted(Path(directory).glob('*.txt'))]
