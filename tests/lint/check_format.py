"""Fails when a source file is not formatted as .clang-format says; `./dev format` does it."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES_AT_ONCE = 50


def main() -> int:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.cc", "*.h"], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.splitlines()
    faulty: dict[str, str] = {}
    for i in range(0, len(listed), FILES_AT_ONCE):
        done = subprocess.run(["clang-format-19", "--dry-run", *listed[i:i + FILES_AT_ONCE]], cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            print(done.stderr)
            return 1
        for name, line in re.findall(r"^([^\s:]+):(\d+):\d+: warning:", done.stderr, re.MULTILINE):
            faulty.setdefault(name, line)
    for name, line in faulty.items():
        print(f"{name}:{line}: not formatted as .clang-format says; ./dev format does it")
    print(f"format of {len(listed)} files, {len(faulty)} with faults")
    print(f"format: {int(not faulty)} passed, {int(bool(faulty))} failed, 0 skipped")
    return 0 if not faulty else 1


if __name__ == "__main__":
    sys.exit(main())
