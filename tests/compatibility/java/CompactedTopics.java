// What a consumer of compacted topics sees: java -cp ... CompactedTopics.java HOST:PORT START_MS
//
// Writes the same records wherever it runs, waits until they are compacted, and prints what every way of reading finds, for
// comparison with another broker. START_MS is the time of the first record.

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class CompactedTopics {
    static final long SEGMENT_MS = 60_000;
    static final int WAIT_SECONDS = 90;

    static String address;
    static Admin admin;
    static long start;

    public static void main(String[] arguments) throws Exception {
        address = arguments[0];
        start = Long.parseLong(arguments[1]);
        admin = Admin.create(Map.of("bootstrap.servers", address));
        for (String codec : List.of("none", "zstd", "lz4")) new Scenario("c-" + codec, codec, 86_400_000).run();
        new Scenario("c-forgets", "none", 1).run();
        admin.close();
        System.out.println("END");
        System.exit(0);
    }

    /** One topic, and what was written to it. */
    static class Scenario {
        final String topic;
        final TopicPartition partition;
        final String codec;
        final boolean keepsTombstones;
        final List<ProducerRecord<String, String>> written = new ArrayList<>();
        long clock = start;
        int closed = 0;  // records before the active segment

        Scenario(String topic, String codec, long deleteRetentionMs) throws Exception {
            this.topic = topic;
            this.codec = codec;
            keepsTombstones = deleteRetentionMs > 1;
            partition = new TopicPartition(topic, 0);
            admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1).configs(Map.of("cleanup.policy", "compact",
                "segment.ms", Long.toString(SEGMENT_MS), "min.cleanable.dirty.ratio", "0.01",
                "delete.retention.ms", Long.toString(deleteRetentionMs))))).all().get();
        }

        void run() throws Exception {
            say("topic", topic);
            try (KafkaProducer<String, String> producer = producer()) {
                for (int round = 0; round < 10; ++round) {
                    for (int key = 0; key < 100; ++key) write(producer, "k" + key, key % 10 == round ? null : "v" + round + "-" + key);
                }
                for (int i = 0; i < 20; ++i) write(producer, "only" + i, "once");
                roll(producer);
                await();
                // A second cleaning meets what the first one left.
                for (int key = 50; key < 120; ++key) write(producer, "k" + key, "later" + key);
                for (int key = 20; key < 30; ++key) write(producer, "k" + key, null);
                roll(producer);
                await();
                if (!keepsTombstones) {
                    write(producer, "k0", "again");
                    roll(producer);
                    await();
                }
            }
            dump();
            lookUpTimes();
            readInAGroup();
            readFromGaps();
            deleteRecords();
        }

        KafkaProducer<String, String> producer() {
            return new KafkaProducer<>(Map.of("bootstrap.servers", address, "compression.type", codec, "linger.ms", 1000,
                "batch.size", 1_000_000), new StringSerializer(), new StringSerializer());
        }

        /** Batches of 30 records, the same everywhere. */
        void write(KafkaProducer<String, String> producer, String key, String value) {
            ProducerRecord<String, String> record = new ProducerRecord<>(topic, 0, clock++, key, value);
            written.add(record);
            producer.send(record);
            if (written.size() % 30 == 0) producer.flush();
        }

        /** What follows is a new segment. */
        void roll(KafkaProducer<String, String> producer) {
            producer.flush();
            closed = written.size();
            clock += 2 * SEGMENT_MS;
            write(producer, "roller" + closed, "r");
            write(producer, "k1", "in the active segment");
            producer.flush();
        }

        /** Until the closed segments hold one record of each key. */
        void await() throws Exception {
            Map<String, Integer> last = new HashMap<>();
            for (int i = 0; i < closed; ++i) last.put(written.get(i).key(), i);
            TreeMap<Long, String> expected = new TreeMap<>();
            for (int offset : last.values()) expected.put((long) offset, written.get(offset).value());
            for (int i = closed; i < written.size(); ++i) expected.put((long) i, written.get(i).value());
            long end = System.nanoTime() + WAIT_SECONDS * 1_000_000_000L;
            TreeMap<Long, String> found;
            do {
                Thread.sleep(200);
                found = new TreeMap<>();
                for (ConsumerRecord<String, String> record : readAll()) found.put(record.offset(), record.value());
                // Old tombstones may go or stay; a broker may look at a log once more.
                TreeMap<Long, String> present = found;
                if (!keepsTombstones) expected.entrySet().removeIf(e -> e.getValue() == null && !present.containsKey(e.getKey()));
            } while (!found.equals(expected) && System.nanoTime() < end);
            say("compacted", found.equals(expected));
        }

        List<ConsumerRecord<String, String>> readAll() {
            try (KafkaConsumer<String, String> consumer = consumer(Map.of())) {
                consumer.assign(List.of(partition));
                consumer.seekToBeginning(List.of(partition));
                return readToEnd(consumer);
            }
        }

        List<ConsumerRecord<String, String>> readToEnd(KafkaConsumer<String, String> consumer) {
            List<ConsumerRecord<String, String>> records = new ArrayList<>();
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            long deadline = System.nanoTime() + 20_000_000_000L;
            do {
                consumer.poll(Duration.ofMillis(100)).records(partition).forEach(records::add);
            } while (consumer.position(partition) < end && System.nanoTime() < deadline);
            return records;
        }

        void dump() {
            List<ConsumerRecord<String, String>> records = readAll();
            say("records", records.size());
            for (ConsumerRecord<String, String> record : records) {
                say("record", record.offset() + " " + (record.timestamp() - start) + " " + record.key() + "=" + record.value());
            }
        }

        void lookUpTimes() throws Exception {
            Map<String, OffsetSpec> specs = new LinkedHashMap<>();
            specs.put("earliest", OffsetSpec.earliest());
            specs.put("latest", OffsetSpec.latest());
            specs.put("largest timestamp", OffsetSpec.maxTimestamp());
            for (long at : List.of(-5L, 0L, 7L, 500L, 899L, 900L, 1019L, 1020L, 1021L, SEGMENT_MS, 2 * SEGMENT_MS + 1021,
                2 * SEGMENT_MS + 1050, 4 * SEGMENT_MS, 4 * SEGMENT_MS + 1200, 1000 * SEGMENT_MS)) {
                specs.put("at " + at, OffsetSpec.forTimestamp(start + at));
            }
            for (Map.Entry<String, OffsetSpec> spec : specs.entrySet()) {
                ListOffsetsResultInfo found = admin.listOffsets(Map.of(partition, spec.getValue())).partitionResult(partition).get();
                say(spec.getKey(), found.offset() + " " + (found.timestamp() < 0 ? found.timestamp() : found.timestamp() - start)
                    + " epoch " + found.leaderEpoch().isPresent());
            }
            try (KafkaConsumer<String, String> consumer = consumer(Map.of())) {
                OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, start + 905)).get(partition);
                say("consumer's look-up", found.offset() + " " + (found.timestamp() - start));
            }
        }

        void readInAGroup() {
            for (String reset : List.of("earliest", "latest")) {
                try (KafkaConsumer<String, String> consumer = consumer(Map.of("group.id", topic + "-" + reset,
                        "auto.offset.reset", reset, "max.poll.records", 37))) {
                    // The poll that brings the assignment may bring records as well.
                    List<Long> began = new ArrayList<>();
                    consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                        public void onPartitionsAssigned(Collection<TopicPartition> assigned) {
                            began.add(consumer.position(partition));
                        }
                        public void onPartitionsRevoked(Collection<TopicPartition> revoked) {}
                    });
                    long deadline = System.nanoTime() + 20_000_000_000L;
                    while (began.isEmpty() && System.nanoTime() < deadline) consumer.poll(Duration.ofMillis(50));
                    say(reset + " position", began);
                    int count = readToEnd(consumer).size();
                    say(reset + " reads", (reset.equals("latest") ? count : "to the end"));
                    say(reset + " position then, lag", consumer.position(partition) + " " + consumer.currentLag(partition));
                    consumer.commitSync();
                    say(reset + " committed", consumer.committed(java.util.Set.of(partition)).get(partition).offset());
                }
            }
        }

        /** The first record found from each of these offsets, and the lag there. */
        void readFromGaps() {
            for (long offset : List.of(0L, 1L, 333L, 901L, 999L, 1019L, 1021L, 1030L)) {
                try (KafkaConsumer<String, String> consumer = consumer(Map.of("max.poll.records", 1))) {
                    consumer.assign(List.of(partition));
                    consumer.seek(partition, offset);
                    List<ConsumerRecord<String, String>> records = List.of();
                    long deadline = System.nanoTime() + 20_000_000_000L;
                    while (records.isEmpty() && System.nanoTime() < deadline) records = consumer.poll(Duration.ofMillis(100)).records(partition);
                    say("from " + offset, records.isEmpty() ? "nothing" : records.get(0).offset() + ", then at "
                        + consumer.position(partition) + ", lag " + consumer.currentLag(partition));
                }
            }
        }

        void deleteRecords() throws Exception {
            try {
                admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(925))).all().get();
                say("records of a compacted topic", "deleted");
            } catch (Exception refused) {
                say("records of a compacted topic", refused.getCause().getClass().getSimpleName());
            }
            ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
            admin.incrementalAlterConfigs(Map.of(resource, List.of(
                new AlterConfigOp(new ConfigEntry("retention.ms", "-1"), AlterConfigOp.OpType.SET),
                new AlterConfigOp(new ConfigEntry("cleanup.policy", "delete"), AlterConfigOp.OpType.APPEND)))).all().get();
            // Apache Kafka's broker may learn of the new policy after the answer.
            long low = -1;
            for (long end = System.nanoTime() + 20_000_000_000L; low < 0;) {
                try {
                    low = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(925))).lowWatermarks().get(partition).get()
                        .lowWatermark();
                } catch (java.util.concurrent.ExecutionException refused) {
                    if (System.nanoTime() > end) throw refused;
                    Thread.sleep(100);
                }
            }
            say("low watermark", low);
            for (String reset : List.of("earliest", "none", "latest")) {
                try (KafkaConsumer<String, String> consumer = consumer(Map.of("auto.offset.reset", reset))) {
                    consumer.assign(List.of(partition));
                    consumer.seek(partition, 5);
                    long deadline = System.nanoTime() + 10_000_000_000L;
                    List<ConsumerRecord<String, String>> records = List.of();
                    while (records.isEmpty() && consumer.position(partition) <= 5 && System.nanoTime() < deadline) {
                        records = consumer.poll(Duration.ofMillis(100)).records(partition);
                    }
                    if (records.isEmpty() && reset.equals("earliest")) records = consumer.poll(Duration.ofSeconds(5)).records(partition);
                    say("out of range, " + reset, records.isEmpty() ? "at " + consumer.position(partition) : "reads " + records.get(0).offset());
                } catch (Exception error) {
                    say("out of range, " + reset, error.getClass().getSimpleName());
                }
            }
        }
    }

    static KafkaConsumer<String, String> consumer(Map<String, Object> extra) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", address, "auto.offset.reset", "earliest",
            "enable.auto.commit", false));
        config.putAll(extra);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    static void say(String what, Object found) {
        System.out.println(what + "\t" + found);
        System.out.flush();
    }
}
