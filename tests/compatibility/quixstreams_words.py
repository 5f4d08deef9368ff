"""Counts the words of a topic, exactly once: quixstreams_words.py HOST:PORT STATE-FOLDER INPUT OUTPUT, until it is ended."""
import sys

from quixstreams import Application, State


def count(word: str, state: State) -> str:
    total = state.get("count", 0) + 1
    state.set("count", total)
    return str(total)


def main(address: str, folder: str, source: str, target: str) -> None:
    application = Application(
        broker_address=address, consumer_group="q-counters", auto_offset_reset="earliest", processing_guarantee="exactly-once",
        commit_interval=0.3, state_dir=folder, consumer_extra_config={"session.timeout.ms": 3000, "heartbeat.interval.ms": 500},
        producer_extra_config={"transaction.timeout.ms": 5000})
    words = application.dataframe(application.topic(source, value_deserializer="str", key_deserializer="str"))
    counts = words.apply(count, stateful=True)
    counts.to_topic(application.topic(target, value_serializer="str", key_serializer="str"))
    application.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
