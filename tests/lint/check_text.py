"""Checks that need only the text of the files: lengths (with a ratchet), names, parameters, and calls that would end
determinism."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CODE_LINES_MAX = 500
TEST_LINES_MAX = 1000
LONG_FILES = ROOT / "tests/lint/long_files.txt"

CODE_SUFFIXES = {".cc", ".h", ".py", ".sh", ".cmake"}
VAGUE_NAME = re.compile(r"(^|_)(utils?|helpers?|common|manager|misc|impl)(_|$)")
COMMENT = re.compile(r"//.*$")

# pattern -> (why it is refused, where it is allowed)
FORBIDDEN = [
    (re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep)\b"),
     "sleeping: wait for the event, or inject the clock", ("src/runtime/", "benchmarks/")),
    (re.compile(r"\b(system_clock|gettimeofday)\b|std::time\(|[^_\w.]time\((nullptr|NULL|0)\)"),
     "wall clock: take a runtime Clock", ("src/runtime/", "benchmarks/")),
    (re.compile(r"\brandom_device\b|\bs?rand\("),
     "randomness that no seed repeats: take it from the runtime", ("src/runtime/", "benchmarks/")),
    # What holds a request's context may lose its last reference on any shard.
    (re.compile(r"\benable_shared_from_this\b"),
     "an operation over shards is a runtime::Homebound", ("src/http/",)),
]

# Two parameters of one type that a caller could mix up (docs/decisions/0017).
NUMBER = r"(?:const )?(u?int(?:16|32|64)_t) \w*(?:offset|epoch|sequence|chunk|generation|directory|_id|index)\w*(?: = [^,();]*)?"
SIDE_BY_SIDE = re.compile(rf"[(,]\s*{NUMBER},\s*{NUMBER}(?=[,)])")


def tracked_files() -> list[pathlib.Path]:
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.splitlines()
    return sorted(path for path in (ROOT / name for name in names) if path.is_file())


def allowances() -> dict[str, int]:
    allowed = {}
    for line in LONG_FILES.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, lines = line.split()
            allowed[name] = int(lines)
    return allowed


def length_problems(where: str, lines: int, allowed: dict[str, int]) -> list[str]:
    is_test = where.startswith("tests/") or where.endswith("_test.cc")
    limit = TEST_LINES_MAX if is_test else CODE_LINES_MAX
    if where in allowed:
        if lines <= limit:
            return [f"{where}: {lines} lines are within the limit now; take it out of {LONG_FILES.name}"]
        limit = allowed[where]
    return [f"{where}: {lines} lines, more than {limit}"] if lines > limit else []


def word_problems(where: str, text: str) -> list[str]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        code = COMMENT.sub("", line)
        for pattern, why, allowed in FORBIDDEN:
            if pattern.search(code) and not where.startswith(allowed):
                found.append(f"{where}:{number}: {why}")
    return found


def parameter_problems(where: str, text: str) -> list[str]:
    code = "\n".join(COMMENT.sub("", line) for line in text.splitlines())
    return [f"{where}:{code.count(chr(10), 0, match.end()) + 1}: {' '.join(match[0][1:].split())}: a struct names them"
            for match in SIDE_BY_SIDE.finditer(code) if match[1] == match[2]]


def main() -> int:
    allowed = allowances()
    checked = failures = 0
    for path in tracked_files():
        where = str(path.relative_to(ROOT))
        if path.suffix not in CODE_SUFFIXES and where != "dev":
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found = length_problems(where, text.count("\n"), allowed)
        if path.suffix in (".cc", ".h"):
            found += word_problems(where, text)
            if path.suffix == ".h":
                found += parameter_problems(where, text)
            if VAGUE_NAME.search(path.stem):
                found.append(f"{where}: a name that says nothing; name what it holds")
        checked += 1
        failures += bool(found)
        for line in found:
            print(line)
    for name in allowed:
        if not (ROOT / name).exists():
            print(f"{LONG_FILES.name}: {name} does not exist")
            failures += 1
    print(f"lengths, names and words of {checked} files, {failures} with faults")
    print(f"text: {int(not failures)} passed, {int(bool(failures))} failed, 0 skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
