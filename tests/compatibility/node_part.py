"""kafkajs: a client in JavaScript with protocol code of its own."""
import shutil
import subprocess

from cases import Part, Skip, run, verdict_lines
from harness import maven

part = Part("node", "kafkajs, from its own package")

HERE = maven.ROOT / "tests/compatibility/node"
PLACE = maven.ROOT / "build/node"


@part.case
def kafkajs(broker, _folder):
    if not shutil.which("npm"):
        raise Skip("npm is not installed")
    PLACE.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "clients.js"):
        shutil.copy(HERE / name, PLACE)
    if not (PLACE / "node_modules/kafkajs").exists():
        done = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=PLACE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=300)
        if done.returncode != 0:
            raise Skip("kafkajs cannot be installed: " + " ".join(done.stdout.split())[-200:])
    return verdict_lines(run(["node", str(PLACE / "clients.js"), broker.address], seconds=300))
