#!/usr/bin/env python3
"""Plants the defects of defects/*.patch one by one and expects the crash sweeps of CI to see each of them.

A patch changes one or a few .cc files of src/. The changed files are compiled with the flags of the build and linked in
front of the libraries, so nothing else is built again. The head of a patch says what it breaks and holds two fields:

  Sweep: <names of ci_sweeps.cc, in the order they are run, until one fails>
  or Tests: <a program of unit tests> <gtest filter>, for what no crash shows
  Expect: <regular expression, found in a violation>

    planted_defects.py BUILD-DIRECTORY [NAME...]
"""
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATCHES = ROOT / "tests/simulation/defects"
RUN_SECONDS_MAX = 240


class Broken(Exception):
    """The defect could not be judged."""


class Build:
    """How weir_simulation is made in a build directory."""

    def __init__(self, directory):
        self.directory = Path(directory).resolve()
        database = self.directory / "compile_commands.json"
        if not database.exists():
            raise Broken(f"{database} is missing: configure and build first (./dev build)")
        # Objects of another state of the headers would not fit together.
        self.compile = {entry["file"]: entry["command"] for entry in json.loads(database.read_text())}
        self.links = {}

    def prepare(self, program):
        if program in self.links:
            return
        self.run(["ninja", "-C", str(self.directory), program], f"building {program}")
        commands = subprocess.run(["ninja", "-C", str(self.directory), "-t", "commands", program],
                                  capture_output=True, text=True, check=True).stdout.splitlines()
        # ninja wraps a link in `: && ... && :`.
        links = [line for line in commands if f" -o bin/{program} " in line + " "]
        if len(links) != 1:
            raise Broken(f"the link command of {program} is not found")
        self.links[program] = links[0].removeprefix(": &&").removesuffix("&& :").strip()

    def run(self, command, what):
        done = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, shell=isinstance(command, str))
        if done.returncode != 0:
            raise Broken(f"{what} failed:\n{done.stdout}{done.stderr}")

    def object_of(self, original, source, target):
        # Headers are found in src/ as ever: they are included by their path in there.
        words = shlex.split(self.compile[str(original)])
        for flag in ("-o", "-MF", "-MT"):
            if flag in words:
                words[words.index(flag) + 1] = str(target)
        words[words.index(str(original))] = str(source)
        self.run(words + ["-w"], f"compiling {source.name}")  # a defect may leave a variable unused

    def program(self, name, objects, target):
        first = next(word for word in shlex.split(self.links[name]) if word.endswith(".o"))
        link = self.links[name].replace(f" -o bin/{name} ", f" -o {shlex.quote(str(target))} ")
        link = link.replace(f" {first} ", " " + " ".join(shlex.quote(str(o)) for o in objects) + f" {first} ", 1)
        self.run(link, "linking")


class Defect:
    def __init__(self, patch):
        self.patch = patch
        self.name = patch.stem
        text = patch.read_text()
        head = text[:text.index("--- a/")]
        self.files = re.findall(r"^\+\+\+ b/(\S+)", text, re.MULTILINE)
        tests = re.search(r"^Tests: (\S+) (\S+)$", head, re.MULTILINE)
        self.program = tests[1] if tests else "weir_simulation"
        self.arguments = [f"--gtest_filter={tests[2]}"] if tests else ["--ci", self.field(head, "Sweep"), "--first"]
        self.expect = self.field(head, "Expect")

    def field(self, head, name):
        found = re.search(rf"^{name}: (.+)$", head, re.MULTILINE)
        if not found:
            raise Broken(f"{self.patch} has no line '{name}: ...' in its head")
        return found[1].strip()

    def plant(self, build, folder):
        shutil.rmtree(folder, ignore_errors=True)
        objects = []
        for name in self.files:
            if not name.startswith("src/") or not name.endswith(".cc"):
                raise Broken(f"{self.patch} changes {name}: only .cc files of src/ can be changed")
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy)
        patched = subprocess.run(["patch", "-p1", "--no-backup-if-mismatch", "-s", "-i", str(self.patch)], cwd=folder,
                                 capture_output=True, text=True)
        if patched.returncode != 0:
            raise Broken(f"the patch does not apply any more; bring {self.patch.relative_to(ROOT)} up to date with the "
                         f"code it changes:\n{patched.stdout}{patched.stderr}")
        for name in self.files:
            objects.append(folder / (name.replace("/", "_") + ".o"))
            build.object_of(ROOT / name, folder / name, objects[-1])
        build.program(self.program, objects, folder / self.program)
        return folder / self.program


def outcome(program, arguments):
    """The status and the violations of a run."""
    try:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, errors="replace",
                              timeout=RUN_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise Broken(f"it did not end within {RUN_SECONDS_MAX} s") from None
    return done.returncode, done.stdout + done.stderr


def judge(build, defect, scratch):
    """Whether the defect was caught as expected, and what was seen."""
    program = defect.plant(build, scratch / defect.name)
    status, output = outcome(program, defect.arguments)
    if status == 0:
        return False, f"not caught by {' '.join(defect.arguments)}: nobody would notice it\n{output[-2000:]}"
    seen = next((line.strip() for line in output.splitlines() if re.search(defect.expect, line)), None)
    if not seen:
        return False, f"caught, but not as expected ({defect.expect}); status {status}:\n{output[-2000:]}"
    shutil.rmtree(scratch / defect.name)
    return True, seen


def sound(build):
    """Whether the code as it is passes all sweeps."""
    status, output = outcome(build.directory / "bin/weir_simulation", ["--ci", "all", "--first"])
    return status == 0, output[-4000:] if status else "no defect, no violation"


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    scratch = Path(sys.argv[1]).resolve() / "planted_defects"
    passed = failed = 0
    started = time.monotonic()
    try:
        build = Build(sys.argv[1])
        defects = [Defect(patch) for patch in sorted(PATCHES.glob("*.patch"))]
        if unknown := set(sys.argv[2:]) - {defect.name for defect in defects}:
            raise Broken(f"no such defect: {' '.join(sorted(unknown))}")
        defects = [defect for defect in defects if len(sys.argv) == 2 or defect.name in sys.argv[2:]]
        for program in {"weir_simulation"} | {defect.program for defect in defects}:
            build.prepare(program)
    except Broken as broken:
        print(f"{broken}\n0 passed, 1 failed, 0 skipped")
        return 1
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 2) as workers:
        jobs = {workers.submit(sound, build): "none"} if len(sys.argv) == 2 else {}
        jobs |= {workers.submit(judge, build, defect, scratch): defect.name for defect in defects}
        for job in concurrent.futures.as_completed(jobs):
            try:
                good, seen = job.result()
            except Broken as broken:
                good, seen = False, str(broken)
            print(f"{'ok    ' if good else 'FAILED'} {time.monotonic() - started:4.0f} s  {jobs[job]}: {seen}", flush=True)
            passed, failed = passed + good, failed + (not good)
    print(f"planted defects: {passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
