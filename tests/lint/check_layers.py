"""Fails when a source file includes what its layer must not know: another module above its own, or within its module a folder
above its own. The tables here are the rule; docs/ARCHITECTURE.md shows them, and --write brings it up to date."""
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
# module -> folder -> folders of the module it builds on directly; what those build on is allowed too. "" is the module's own
# files. A module without folders needs no line. A folder within a folder belongs to it, unless it has a line.
FOLDERS = {
    "protocol": {
        "": [],
        "catalog": [""],
    },
    "security": {
        "authorization": [],
    },
    "storage": {
        "": [],
        "sqlite": [""],
        "metadata": ["sqlite"],
        "background": [""],
        "segment": ["sqlite", "background"],
        "wal": ["background"],
        "compaction": ["segment"],
        "log": ["compaction", "wal"],
    },
    "coordination": {
        "log": [],
        "runtime": ["log"],
        "group": ["runtime"],
        "transaction": ["runtime"],
    },
    "broker": {
        "config": [],
        "metadata": ["config"],
        "server": ["config"],
        "fetch": [],
        "telemetry": ["metadata", "server"],
        "transactions": ["metadata"],
        "admin": ["metadata", "server"],
        "": ["metadata", "server", "fetch", "telemetry"],
        "requests": [""],
        "coordinators": ["", "transactions"],
        "handlers": ["admin", "requests", "coordinators"],
        "metrics": ["coordinators"],
        "pages": ["server"],
    },
}
# Generated from a folder of the source: anybody in the module may include it.
GENERATED = {"protocol/messages"}
ARCHITECTURE = ROOT / "docs/ARCHITECTURE.md"
TABLE_BEGIN = "<!-- tests/lint/check_layers.py --write -->"
TABLE_END = "<!-- end -->"

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


def reachable(start: str, builds_on: dict[str, list[str]]) -> set[str]:
    seen: set[str] = set()
    todo = [start]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo.extend(builds_on[current])
    return seen


def order_of(builds_on: dict[str, list[str]]) -> list[str]:
    """What builds on nothing first. Fails on a cycle, which no order has."""
    order: list[str] = []
    while len(order) < len(builds_on):
        ready = [name for name, below in builds_on.items() if name not in order and set(below) <= set(order)]
        if not ready:
            sys.exit(f"check_layers: a cycle among {sorted(set(builds_on) - set(order))}")
        order.extend(ready)
    return order


def folder_of(header: str) -> str:
    """The folder of the table that a file of a module is in."""
    folders = FOLDERS.get(header.split("/")[0], {"": []})
    folder = "/".join(header.split("/")[1:-1])
    while folder not in folders and "/" in folder:
        folder = folder.rpartition("/")[0]
    return folder


def problems_of(path: pathlib.Path, modules: set[str]) -> list[str]:
    name = str(path.relative_to(ROOT / "src"))
    module = name.split("/")[0]
    if module in UNRESTRICTED:
        return []
    where = path.relative_to(ROOT)
    table = pathlib.Path(__file__).name
    if module not in BUILDS_ON:
        return [f"{where}: module {module} has no place among the layers; give it one in {table}"]
    folder = folder_of(name)
    folders = FOLDERS.get(module, {"": []})
    if folder not in folders:
        return [f"{where}: folder {folder or '(none)'} of {module} has no place among its folders; give it one in {table}"]
    is_test = bool(TEST_FILE.search(path.name))
    allowed = reachable(module, BUILDS_ON) | ({"testing"} if is_test else set())
    allowed_folders = reachable(folder, folders)
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        bracket, header = match.groups()
        target = header.split("/")[0]
        if target in modules and "/" in header and target not in allowed:
            found.append(f"{where}:{number}: {module} must not include {header}")
        if bracket == '"' and target == module and not is_test and folder_of(header) not in allowed_folders \
                and f"{module}/{folder_of(header)}" not in GENERATED:
            found.append(f"{where}:{number}: within {module}, {folder or 'its own files'} must not include {header}")
        if bracket == "<" and KERNEL_HEADER.match(header) and module not in KERNEL_MODULES \
                and not is_test and (module, header) not in HARMLESS:
            found.append(f"{where}:{number}: only runtime/ touches the kernel, but {module} includes <{header}>")
    return found


def architecture_table(present: set[str]) -> str:
    """Of the modules that exist, lowest first."""
    rows = ["| module or folder | builds on |", "|---|---|"]
    for module in order_of(BUILDS_ON):
        if module not in present:
            continue
        below = ", ".join(f"`{name}`" for name in BUILDS_ON[module] if name in present)
        rows.append(f"| **`{module}`** | {below or 'nothing'} |")
        for folder in order_of(FOLDERS.get(module, {})):
            named = lambda name: f"`{module}/{name}`" if name else f"`{module}`'s own files"
            below = ", ".join(named(name) for name in FOLDERS[module][folder])
            rows.append(f"| {named(folder)} | {below or 'no other folder'} |")
    return "\n".join(rows)


def documentation_problems(present: set[str], write: bool) -> list[str]:
    text = ARCHITECTURE.read_text()
    before, begin, rest = text.partition(TABLE_BEGIN)
    _, end, after = rest.partition(TABLE_END)
    if not begin or not end:
        return [f"{ARCHITECTURE.relative_to(ROOT)}: has no place for the table ({TABLE_BEGIN} and {TABLE_END})"]
    current = f"{before}{begin}\n{architecture_table(present)}\n{end}{after}"
    if current == text:
        return []
    if write:
        ARCHITECTURE.write_text(current)
        return []
    return [f"{ARCHITECTURE.relative_to(ROOT)}: the table of layers is not the one checked; tests/lint/check_layers.py --write"]


def main() -> int:
    sources = [path for path in (ROOT / "src").rglob("*") if path.suffix in (".cc", ".h")]
    present = {path.name for path in (ROOT / "src").iterdir() if path.is_dir()}
    modules = present | set(BUILDS_ON) | UNRESTRICTED
    problems = documentation_problems(present, "--write" in sys.argv[1:])
    for path in sorted(sources):
        problems += problems_of(path, modules)
    for module, folders in FOLDERS.items():
        problems += [f"src/{module}/{folder}: is not there any more; take it out of FOLDERS" for folder in folders
                     if folder and not (ROOT / "src" / module / folder).is_dir()]
    for line in problems:
        print(line)
    print(f"layers of {len(sources)} files, {len(problems)} faults")
    print(f"layers: {int(not problems)} passed, {int(bool(problems))} failed, 0 skipped")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
