"""franz-go: a client in Go with protocol code of its own."""
import os
import shutil
import subprocess

from cases import Part, Skip, run, verdict_lines
from harness import maven

part = Part("go", "franz-go, by way of the Go module proxy")

HERE = maven.ROOT / "tests/compatibility/go"
BINARY = maven.ROOT / "build/go/clients"


@part.case
def franz_go(broker, _folder):
    if not shutil.which("go"):
        raise Skip("go is not installed")
    BINARY.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["go", "build", "-o", str(BINARY), "."], cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=600, env=os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"})
    if done.returncode != 0:
        raise Skip("franz-go cannot be fetched or built: " + " ".join(done.stdout.split())[-300:])
    return verdict_lines(run([str(BINARY), broker.address], seconds=500))
