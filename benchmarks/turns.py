"""Runs one piece of work on several brokers in turns, and keeps its costs."""
import dataclasses
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess

from harness import brokers, maven

LOAD = maven.ROOT / "build/release/bin/weir_load"
GB = 1_000_000_000
MB = 1_000_000


@dataclasses.dataclass
class Settings:
    folder: pathlib.Path
    full: bool = False
    with_kafka: bool = True
    kafka_flush: bool = False
    pairs: int = 3
    warm_bytes: int = GB
    broker_cores: str = "0"
    client_cores: str = "1"

    def scaled(self, short: int, full: int) -> int:
        return full if self.full else short


@dataclasses.dataclass
class Row:
    """One line of the table. `gate` holds for Weir; without a gate the line informs."""
    workload: str
    figure: str
    unit: str
    weir: float
    kafka: float | None = None
    weir_machine: float | None = None
    kafka_machine: float | None = None
    gate: float | None = None
    gate_says: str = ""
    discarded: str = ""

    @property
    def passed(self) -> bool | None:
        return None if self.gate is None or self.discarded else self.weir <= self.gate


def machine_busy_s() -> float:
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq = fields[:7]
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def load(settings: Settings, broker: brokers.Broker | None, workload: str, **options) -> dict:
    """Runs the load generator on the clients' core. `others_s` of its answer is the processor time of the whole machine beside the
    client's, until all written data has reached the disk. Kernel threads and other processes are in it."""
    arguments = [str(LOAD), workload]
    if broker:
        arguments += ["--broker", broker.address, "--pid", str(broker.pid)]
    for name, value in options.items():
        arguments += ["--" + name.replace("_", "-"), str(value)]
    busy, own = machine_busy_s(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(["taskset", "-c", settings.client_cores, *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(" ".join(arguments) + f": status {done.returncode}")
    os.sync()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    client = after.ru_utime + after.ru_stime - own.ru_utime - own.ru_stime
    return json.loads(done.stdout) | {"others_s": machine_busy_s() - busy - client}


class Arena:
    """The brokers of one workload, started together and measured one after the other. A broker without a turn stands still."""

    def __init__(self, settings: Settings, with_kafka: bool = True, weir_arguments: list[str] = (), pinned: bool = True):
        self.settings = settings
        cores = settings.broker_cores if pinned else None
        self.weir = brokers.Weir(settings.folder, cores, weir_arguments)
        self.brokers: list[brokers.Broker] = [self.weir]
        if with_kafka and settings.with_kafka:
            # Kafka stands still while Weir has its turn, and must not be fenced for that.
            patience = {"broker.session.timeout.ms": "3600000"}
            self.brokers.append(brokers.Kafka(settings.folder, cores, patience, settings.kafka_flush))

    def __enter__(self) -> "Arena":
        try:
            for broker in self.brokers:
                broker.start()
                load(self.settings, broker, "produce", topic="warm", bytes=self.settings.warm_bytes)
                broker.pause()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        for broker in self.brokers:
            if broker.process:
                broker.remove()
        shutil.rmtree(self.settings.folder, ignore_errors=True)

    def once(self, work) -> dict[str, object]:
        """Runs work(broker) on each broker. Returns the results by name."""
        answers = {}
        for broker in self.brokers:
            broker.resume()
            answers[broker.name] = work(broker)
            broker.pause()
        return answers

    def in_turns(self, work) -> dict[str, list]:
        """Runs work(broker, round) in turns, A B A B, for as many pairs as are set."""
        answers: dict[str, list] = {broker.name: [] for broker in self.brokers}
        for turn in range(self.settings.pairs):
            for name, answer in self.once(lambda broker, turn=turn: work(broker, turn)).items():
                answers[name].append(answer)
        return answers

    def peak_rss_mb(self, workload: str) -> Row:
        peaks = {broker.name: broker.status_kb("VmHWM") / 1024 for broker in self.brokers}
        return Row(workload, "peak resident memory", "MiB", peaks["weir"], peaks.get("kafka"))


def median_row(answers: dict[str, list[dict]], workload: str, figure: str, unit: str, per, scale: float,
               gate: float | None = None) -> Row:
    """The median of cost / amount. `per` gives the amount of an answer."""
    def medians(key):
        return {name: statistics.median(answer[key] / per(answer) * scale for answer in given)
                for name, given in answers.items()}
    broker, machine = medians("broker_cpu_s"), medians("others_s")
    return Row(workload, figure, unit, broker["weir"], broker.get("kafka"), machine["weir"], machine.get("kafka"), gate)
