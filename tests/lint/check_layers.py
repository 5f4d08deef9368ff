"""Fails when a source file includes what its layer must not know. The table is docs/ARCHITECTURE.md's, as code."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# module -> modules it builds on directly; what those build on is allowed too.
BUILDS_ON = {
    "base": [],
    "runtime": ["base"],
    "protocol": ["runtime"],
    "security": ["runtime"],
    "object_store": ["runtime"],
    "http": ["runtime"],
    "storage": ["object_store", "protocol"],
    "cluster": ["storage", "object_store"],
    "coordination": ["storage", "cluster"],
    "broker": ["coordination", "security", "http"],
    "client": ["protocol", "security"],
    "streams": ["client", "http"],
    "connect": ["client", "http"],
    "registry": ["client", "http"],
    "cli": ["client", "http"],
    "console": ["client", "http"],
}
# Concrete classes are wired together here, and tests drive everything: these may include any module.
UNRESTRICTED = {"apps", "testing"}

# The kernel and the event loop's library are known to runtime/ alone.
KERNEL_HEADER = re.compile(
    r"^(sys/|netinet/|arpa/|linux/|liburing|boost/asio|unistd\.h|fcntl\.h|poll\.h|signal\.h|pthread\.h|sched\.h|dirent\.h|netdb\.h)")
KERNEL_MODULES = {"runtime", "testing", "apps"}
# Page-aligned memory is no I/O, and the type iovec is in the runtime's own interface of files.
HARMLESS = {("base", "sys/mman.h"), ("storage", "sys/uio.h")}
# What only tests include: their cases, and the worlds they set up.
TEST_FILE = re.compile(r"(_test|_fixture|_world)\.(h|cc)$")

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def reachable(module: str) -> set[str]:
    seen: set[str] = set()
    todo = [module]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo.extend(BUILDS_ON[current])
    return seen


def problems_of(path: pathlib.Path, modules: set[str]) -> list[str]:
    module = path.relative_to(ROOT / "src").parts[0]
    if module in UNRESTRICTED:
        return []
    where = path.relative_to(ROOT)
    if module not in BUILDS_ON:
        return [f"{where}: module {module} has no place among the layers; give it one in {pathlib.Path(__file__).name}"]
    is_test = bool(TEST_FILE.search(path.name))
    allowed = reachable(module) | ({"testing"} if is_test else set())
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        bracket, header = match.groups()
        target = header.split("/")[0]
        if target in modules and "/" in header and target not in allowed:
            found.append(f"{where}:{number}: {module} must not include {header}")
        if bracket == "<" and KERNEL_HEADER.match(header) and module not in KERNEL_MODULES \
                and not is_test and (module, header) not in HARMLESS:
            found.append(f"{where}:{number}: only runtime/ touches the kernel, but {module} includes <{header}>")
    return found


def main() -> int:
    sources = [path for path in (ROOT / "src").rglob("*") if path.suffix in (".cc", ".h")]
    modules = {path.name for path in (ROOT / "src").iterdir() if path.is_dir()} | set(BUILDS_ON) | UNRESTRICTED
    failures = 0
    for path in sorted(sources):
        found = problems_of(path, modules)
        failures += bool(found)
        for line in found:
            print(line)
    print(f"layers of {len(sources)} files, {failures} with faults")
    print(f"layers: {int(not failures)} passed, {int(bool(failures))} failed, 0 skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
