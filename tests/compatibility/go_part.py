"""Clients in Go with protocol code of their own: franz-go and sarama."""
import os
import shutil
import subprocess

from cases import Part, Skip, run, verdict_lines
from harness import maven

part = Part("go", "franz-go and sarama, by way of the Go module proxy")

HERE = maven.ROOT / "tests/compatibility"


def clients(broker, folder: str) -> list[tuple[str, str, str]]:
    """The cases of the Go program of the folder."""
    if not shutil.which("go"):
        raise Skip("go is not installed")
    binary = maven.ROOT / "build" / folder / "clients"
    binary.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["go", "build", "-o", str(binary), "."], cwd=HERE / folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=600, env=os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"})
    if done.returncode != 0:
        raise Skip("it cannot be fetched or built: " + " ".join(done.stdout.split())[-300:])
    return verdict_lines(run([str(binary), broker.address], seconds=500))


@part.case
def franz_go(broker, _folder):
    return clients(broker, "go")


@part.case
def sarama(broker, _folder):
    return clients(broker, "sarama")
