#!/usr/bin/env python3
"""Writes seed inputs for the fuzzers, out of the messages, batches and records in the testdata of src/protocol and
src/coordination/group.

    make_corpus.py OUTPUT_DIRECTORY
    weir_fuzz_request OUTPUT_DIRECTORY/request
"""
import sys
from pathlib import Path

sys.dont_write_bytecode = True
SOURCES = Path(__file__).resolve().parents[2] / 'src'
PROTOCOL = SOURCES / 'protocol'
sys.path.insert(0, str(PROTOCOL))
from schema import load  # noqa: E402


def rows(name, module=PROTOCOL):
    for line in (module / 'testdata' / name).read_text().splitlines():
        if not line.startswith('#'):
            yield line.split(' ')


def prefix(message, version, stored):
    flexible = version >= message.flexible
    head = (message.api_key or 0).to_bytes(2, 'big') + version.to_bytes(2, 'big')
    if message.kind == 'request':
        return head + bytes(4) + b'\x00\x04fuzz' + (b'\x00' if flexible else b'')
    if message.kind == 'response':
        return head + bytes(4) + (b'\x00' if flexible and message.api_key != 18 else b'')
    return bytes([stored.index(message.name), version - message.versions.low])


def main():
    output = Path(sys.argv[1])
    messages = [m for schema in load(PROTOCOL / 'schema') for m in schema.messages]
    by_name = {m.name: m for m in messages}
    stored = [m.name for m in messages if m.kind not in ('request', 'response')]
    for name, version, variant, data in rows('golden.txt'):
        message = by_name[name]
        kind = message.kind if message.kind in ('request', 'response') else 'stored_message'
        path = output / kind / f'{name}-{version}-{variant}'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(prefix(message, int(version), stored) + bytes.fromhex(data))
    (output / 'record_batch').mkdir(parents=True, exist_ok=True)
    for compression, kind, data in rows('batches.txt'):
        (output / 'record_batch' / f'{compression}-{kind}').write_bytes(bytes.fromhex(data))
    (output / 'otlp_metrics').mkdir(parents=True, exist_ok=True)
    for number, (data,) in enumerate(row for row in rows('otlp_metrics.txt')):
        (output / 'otlp_metrics' / str(number)).write_bytes(bytes.fromhex(data))
    (output / 'group_record').mkdir(parents=True, exist_ok=True)

    def group_record(name, key, value):
        (output / 'group_record' / name).write_bytes(len(key).to_bytes(2, 'big') + key + value)

    for name, key, value in rows('consumer_records.txt', SOURCES / 'coordination' / 'group'):
        group_record(name, bytes.fromhex(key), bytes.fromhex(value.removeprefix('-')))
    keys = {name: bytes.fromhex(data) for name, _, variant, data in rows('golden.txt') if variant == 'full' and name.endswith('Key')}
    for name, version, variant, data in rows('golden.txt'):
        key = keys.get(name.removesuffix('Value') + 'Key')
        if name in ('GroupMetadataValue', 'OffsetCommitValue', 'LegacyOffsetCommitValue'):
            record_type = by_name[name].record_type.to_bytes(2, 'big')
            group_record(f'{name}-{version}-{variant}', record_type + key, int(version).to_bytes(2, 'big') + bytes.fromhex(data))


if __name__ == '__main__':
    main()
