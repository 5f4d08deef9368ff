"""Python's clients in an environment of their own: confluent-kafka (a current librdkafka) and kafka-python (its own code)."""
import os
import pathlib
import subprocess
import venv

from cases import Part, Skip, run, unserved, verdict_lines
from harness import maven

part = Part("python", "confluent-kafka and kafka-python, from their own packages")

ENVIRONMENT = maven.ROOT / "build/python"


def interpreter_with(package: str, version: str, environment: pathlib.Path = ENVIRONMENT) -> str:
    python = environment / "bin/python"
    try:
        if not python.exists():
            venv.create(environment, with_pip=True)
        subprocess.run([python, "-m", "pip", "-q", "--disable-pip-version-check", "install", f"{package}=={version}"],
                       check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    except (subprocess.SubprocessError, OSError) as error:
        said = (getattr(error, "output", None) or b"").decode(errors="replace").strip().splitlines()
        raise Skip(f"{package} cannot be installed: {said[-1] if said else error}") from None
    return str(python)


def clients(package: str, version: str, script: str, broker):
    python = interpreter_with(package, version)
    return verdict_lines(run([python, str(maven.ROOT / "tests/compatibility" / script), broker.address], seconds=300,
                             env=os.environ | unserved(broker)))


@part.case
def confluent(broker, _folder):
    return clients("confluent-kafka", "2.16.1", "confluent_clients.py", broker)


@part.case
def confluent_every_day(broker, _folder):
    return clients("confluent-kafka", "2.16.1", "confluent_everyday.py", broker)


@part.case
def kafka_python(broker, _folder):
    return clients("kafka-python", "3.0.12", "kafka_python_clients.py", broker)
