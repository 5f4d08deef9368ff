"""Cases are functions that get a broker and a folder; they fail by assertion and say why they cannot run by Skip."""
import functools
import pathlib
import re
import subprocess
import time
import traceback

from harness.brokers import Broker, announced_apis


class Skip(Exception):
    """The case cannot run here; the text says why."""


class Part:
    """A named set of cases that share one broker."""

    def __init__(self, name: str, says: str):
        self.name = name
        self.says = says
        self.cases: list = []

    def case(self, function):
        self.cases.append(function)
        return function

    def needs(self, **apis: int):
        """Skips the case where the broker does not announce these APIs; beside @case, below it."""
        def wrap(function):
            @functools.wraps(function)
            def guarded(broker, folder):
                missing = [name for name, key in apis.items() if key not in announced_apis(broker.port)]
                if missing:
                    raise Skip("the broker does not serve " + ", ".join(missing))
                return function(broker, folder)
            return guarded
        return wrap


# What a broker may not serve yet, by an API that tells.
FEATURES = {"transactions": 24, "consumer groups": 68}


def unserved(broker: Broker) -> dict[str, str]:
    """For the environment of programs that report cases: UNSERVED names what they should skip."""
    apis = announced_apis(broker.port)
    return {"UNSERVED": ",".join(feature for feature, key in FEATURES.items() if key not in apis)}


class Counts:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    def add(self, verdict: str, name: str, seconds: float, detail: str = "") -> None:
        setattr(self, verdict, getattr(self, verdict) + 1)
        print(f"{verdict.upper():8}{name} ({seconds:.1f} s)" + (f": {detail}" if detail else ""), flush=True)


def run_part(part: Part, broker: Broker, folder: pathlib.Path, only: str, counts: Counts) -> None:
    for function in part.cases:
        name = f"{part.name} {function.__name__.replace('_', ' ')}"
        if only and not re.search(only, name):
            continue
        started = time.monotonic()
        place = folder / part.name / function.__name__
        place.mkdir(parents=True, exist_ok=True)
        try:
            found = function(broker, place)
            if found is None:
                counts.add("passed", name, time.monotonic() - started)
            else:
                for verdict, inner, detail in found:
                    counts.add(verdict, f"{name}: {inner}", time.monotonic() - started, detail)
        except Skip as reason:
            counts.add("skipped", name, time.monotonic() - started, str(reason))
        except Exception as error:  # a case may fail in any way, and the others still run
            text = str(error) or traceback.format_exc()
            counts.add("failed", name, time.monotonic() - started, text)


def run(command: list[str], *, given: bytes | str = b"", seconds: float = 30, **options) -> str:
    """The output of a command that must succeed; the error shows what it said."""
    given = given.encode() if isinstance(given, str) else given
    try:
        done = subprocess.run([str(part) for part in command], input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=seconds, **options)
    except subprocess.TimeoutExpired as late:
        said = (late.stderr or b"").decode(errors="replace")[-600:]
        raise AssertionError(f"no end after {seconds} s: {' '.join(map(str, command))}\n{said}") from None
    if done.returncode != 0:
        raise AssertionError(f"status {done.returncode}: {' '.join(map(str, command))}\n"
                             + done.stderr.decode(errors="replace")[-1500:] + done.stdout.decode(errors="replace")[-500:])
    return done.stdout.decode()


def verdict_lines(output: str) -> list[tuple[str, str, str]]:
    """What a program of another language found: lines `PASSED|FAILED|SKIPPED<tab>name<tab>detail`."""
    found = []
    for line in output.splitlines():
        verdict, _, rest = line.partition("\t")
        if verdict in ("PASSED", "FAILED", "SKIPPED"):
            name, _, detail = rest.partition("\t")
            found.append((verdict.lower(), name, detail))
    if not found:
        raise AssertionError("it reported no case:\n" + output[-1500:])
    return found
