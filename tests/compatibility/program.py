"""A program that runs beside a case."""
import json
import pathlib
import re
import signal
import subprocess
import time

from cases import Skip
from harness import maven


def class_path(pom: pathlib.Path) -> str:
    try:
        return maven.class_path(pom)
    except maven.Unavailable as reason:
        raise Skip(str(reason)) from None


def java(path: str, *words: str) -> list[str]:
    """The command of a Java program with this class path. It tells of warnings if slf4j-simple is in there."""
    return ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", path, *words]


class Program:
    """Started at once. Its output goes to a file of its own, which a later program of the same name continues."""

    SECONDS_MAX = 300  # far more than it takes, for machines that have other things to do

    def __init__(self, folder: pathlib.Path, command: list[str], name: str = "program"):
        self.log = folder / f"{name}.log"
        with open(self.log, "ab") as log:
            self.begin = log.tell()
            self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=log, stderr=log)

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_) -> None:
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Ends it as an operator does."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(self.SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not stop within {self.SECONDS_MAX} s:\n{self.said()}") from None

    def until(self, what: str, holds) -> None:
        """Returns once `holds()` is true; what it raises meanwhile counts as not yet."""
        end = time.monotonic() + self.SECONDS_MAX
        seen = None
        while True:
            try:
                seen = holds()
                if seen is True:
                    return
            except (OSError, AssertionError, KeyError, json.JSONDecodeError) as problem:
                seen = problem
            assert self.process.poll() is None, f"{what}: it ended with {self.process.returncode}:\n{self.said()}"
            assert time.monotonic() < end, f"{what}: not within {self.SECONDS_MAX} s, last {seen!r}:\n{self.said()}"
            time.sleep(0.2)

    def until_said(self, pattern: str, after: int = 0) -> int:
        """Returns the place in the output behind the match, to go on from."""
        place = 0

        def found() -> bool:
            nonlocal place
            text = self.output()
            match = re.compile(pattern).search(text, after)
            place = match.end() if match else 0
            return match is not None
        self.until(f"saying {pattern!r}", found)
        return place

    def output(self) -> str:
        with open(self.log, "rb") as log:
            log.seek(self.begin)
            return log.read().decode(errors="replace")

    def said(self) -> str:
        return self.output()[-1500:]
