"""kafkajs: a client in JavaScript with protocol code of its own."""
import os
import shutil
import subprocess

from cases import Part, Skip, run, verdict_lines
from harness import maven

part = Part("node", "kafkajs, from its own package")

HERE = maven.ROOT / "tests/compatibility/node"
PLACE = maven.ROOT / "build/node"


def clients(broker, script: str) -> list[tuple[str, str, str]]:
    """The cases of the script."""
    if not shutil.which("npm"):
        raise Skip("npm is not installed")
    PLACE.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", script):
        shutil.copy(HERE / name, PLACE)
    if not (PLACE / "node_modules/kafkajs").exists():
        done = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=PLACE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=300)
        if done.returncode != 0:
            raise Skip("kafkajs cannot be installed: " + " ".join(done.stdout.split())[-200:])
    return verdict_lines(run(["node", str(PLACE / script), broker.address], seconds=300,
                             env=os.environ | {"KAFKAJS_NO_PARTITIONER_WARNING": "1"}))


@part.case
def kafkajs(broker, _folder):
    return clients(broker, "clients.js")


@part.case
def kafkajs_transactions(broker, _folder):
    return clients(broker, "transactions.js")
