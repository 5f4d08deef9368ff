#!/usr/bin/env python3
"""A configuration key that is said to work is read somewhere, one that is said to have no effect is not, and one that is refused may
not be altered at run time either."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# A key whose default comes from a broker's key: it acts or not by its own row.
SYNONYMS = re.compile(r'\{\{"[^"]+".*?\}\}')
ROW = re.compile(r'\{\.name = "([^"]+)"(.*?)\},\n', re.DOTALL)


def main() -> int:
    source = ROOT / "src"
    tables = sorted((source / "broker/config").glob("keys_*.cc"))
    # A topic's keys are named as some of the broker's, and broker_config.cc knows which keys are one in several units.
    names_others = {source / "broker/config/topic_config.cc", source / "broker/config/broker_config.cc"}
    files = [path for path in sorted(source.rglob("*"))
             if path.suffix in (".cc", ".h") and path not in tables and not path.name.endswith("_test.cc")]
    code = "\n".join(SYNONYMS.sub("", path.read_text()) if path.name == "resource_config.cc" else path.read_text() for path in files)
    acting = "\n".join(SYNONYMS.sub("", path.read_text()) for path in files if path not in names_others)
    faults = []
    rows = 0
    for table in tables:
        for name, row in ROW.findall(table.read_text()):
            rows += 1
            works = ".support = kWorks" in row
            if works and f'"{name}"' not in code:
                faults.append(f"{table.relative_to(ROOT)}: {name} is said to work, but nothing reads it")
            if ".support = kNoEffect" in row and f'"{name}"' in acting:
                faults.append(f"{table.relative_to(ROOT)}: {name} is said to have no effect, but something reads it")
            if ".support = kRefused" in row and ".dynamic = true" in row:
                faults.append(f"{table.relative_to(ROOT)}: {name} may be altered at run time, but is refused")
    for fault in faults:
        print(fault)
    print(f"{rows} configuration keys, {len(faults)} faults")
    print(f"configs: {int(not faults)} passed, {int(bool(faults))} failed, 0 skipped")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
