#!/usr/bin/env python3
"""Writes seed inputs for the protocol fuzzers, out of the messages and batches of src/protocol/testdata.

    make_corpus.py OUTPUT_DIRECTORY
    weir_fuzz_request OUTPUT_DIRECTORY/request
"""
import sys
from pathlib import Path

sys.dont_write_bytecode = True
PROTOCOL = Path(__file__).resolve().parents[2] / 'src' / 'protocol'
sys.path.insert(0, str(PROTOCOL))
from schema import load  # noqa: E402


def rows(name):
    for line in (PROTOCOL / 'testdata' / name).read_text().splitlines():
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


if __name__ == '__main__':
    main()
