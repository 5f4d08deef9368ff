#!/usr/bin/env python3
"""A configuration key that is said to work is read somewhere, and one that is refused may not be altered at run time either."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROW = re.compile(r'\{\.name = "([^"]+)"(.*?)\},\n', re.DOTALL)


def main() -> int:
    source = ROOT / "src"
    tables = sorted((source / "broker/config").glob("keys_*.cc"))
    # Names the keys that groups take defaults from; what reads them is the group's coordinator.
    unread = {*tables, source / "broker/config/resource_config.cc"}
    code = "\n".join(path.read_text() for path in sorted(source.rglob("*"))
                     if path.suffix in (".cc", ".h") and path not in unread and not path.name.endswith("_test.cc"))
    faults = []
    rows = 0
    for table in tables:
        for name, row in ROW.findall(table.read_text()):
            rows += 1
            works = ".support = kWorks" in row
            if works and f'"{name}"' not in code:
                faults.append(f"{table.relative_to(ROOT)}: {name} is said to work, but nothing reads it")
            if ".support = kRefused" in row and ".dynamic = true" in row:
                faults.append(f"{table.relative_to(ROOT)}: {name} may be altered at run time, but is refused")
    for fault in faults:
        print(fault)
    print(f"{rows} configuration keys, {len(faults)} faults")
    print(f"configs: {int(not faults)} passed, {int(bool(faults))} failed, 0 skipped")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
