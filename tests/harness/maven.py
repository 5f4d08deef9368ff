"""Fetches Java archives with Maven and keeps them under build/."""
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Unavailable(Exception):
    """A part is not available on this machine. The text says why."""


def class_path(pom: pathlib.Path) -> str:
    """Returns the class path of the dependencies of `pom`. Fetches them once, and again when the pom changes."""
    folder = ROOT / "build" / "java" / pom.parent.relative_to(ROOT) / pom.stem
    stamp = folder / "complete"
    if not stamp.exists() or stamp.stat().st_mtime < pom.stat().st_mtime:
        if not shutil.which("mvn") or not shutil.which("java"):
            raise Unavailable("Java or Maven is not installed")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        print(f"fetching the Java archives of {pom.relative_to(ROOT)}", flush=True)
        done = subprocess.run(
            ["mvn", "-B", "-q", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={folder}",
             "-DincludeScope=runtime"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
        if done.returncode != 0:
            errors = [line for line in done.stdout.splitlines() if "ERROR" in line]
            raise Unavailable("Maven could not fetch them: " + (errors[0] if errors else "no reason given"))
        stamp.touch()
    return f"{folder}/*"
