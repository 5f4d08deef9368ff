// Cases on Apache Kafka's Java client: java -cp ... Clients.java HOST:PORT prints a line for each, as
// cases.verdict_lines reads them.

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidRegularExpression;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Clients {
    interface Case {
        void run() throws Exception;
    }

    static String address;
    static Admin admin;

    public static void main(String[] arguments) {
        address = arguments[0];
        admin = Admin.create(Map.of("bootstrap.servers", address));
        Map<String, Case> cases = new LinkedHashMap<>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            cases.put("returns " + codec, () -> returnsCompressed(codec));
        }
        cases.put("offsets are consecutive with idempotence", Clients::offsetsAreConsecutive);
        cases.put("refuses too large records", Clients::refusesTooLargeRecords);
        cases.put("alters configs", Clients::altersConfigs);
        cases.put("lists and deletes offsets", Clients::listsAndDeletesOffsets);
        for (String protocol : List.of("classic", "consumer")) {
            cases.put("two members share the partitions, " + protocol, () -> twoMembersShare(protocol));
            cases.put("a group resumes, " + protocol, () -> groupResumes(protocol));
        }
        cases.put("aborted records stay hidden", Clients::abortedRecordsStayHidden);
        cases.put("an expression of the broker finds later topics, consumer", Clients::expressionFindsLaterTopics);
        for (String protocol : List.of("classic", "consumer")) {
            cases.put("offsets commit with a transaction, " + protocol, () -> offsetsCommitWithTransaction(protocol));
        }
        cases.put("a newer transactional producer fences the older", Clients::newerProducerFences);
        cases.forEach(Clients::report);
        admin.close();
        System.exit(0);
    }

    /** What a broker must serve for the case; empty: what every broker serves. */
    static String feature(String name) {
        if (name.endsWith(", consumer")) return "consumer groups";
        return name.contains("transaction") || name.startsWith("aborted") ? "transactions" : "";
    }

    static void report(String name, Case test) {
        String feature = feature(name);
        if (!feature.isEmpty() && List.of(System.getenv().getOrDefault("UNSERVED", "").split(",")).contains(feature)) {
            System.out.println("SKIPPED\t" + name + "\tthe broker does not serve " + feature);
            return;
        }
        try {
            test.run();
            System.out.println("PASSED\t" + name);
        } catch (Throwable error) {
            StackTraceElement[] trace = error.getStackTrace();
            String at = java.util.Arrays.stream(trace).filter(f -> f.getClassName().startsWith("Clients")).findFirst()
                .map(f -> " at line " + f.getLineNumber()).orElse("");
            System.out.println("FAILED\t" + name + "\t" + (error + at).replaceAll("\\s+", " "));
        }
        System.out.flush();
    }

    static void check(boolean holds, Object found) {
        if (!holds) throw new AssertionError("found " + found);
    }

    static void create(String topic, int partitions) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
    }

    static KafkaProducer<String, String> producer(Map<String, Object> extra) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", address, "max.block.ms", 30_000,
            "delivery.timeout.ms", 30_000, "request.timeout.ms", 15_000));
        config.putAll(extra);
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(Map<String, Object> extra) {
        Map<String, Object> config = new HashMap<>(Map.of("bootstrap.servers", address, "auto.offset.reset", "earliest",
            "enable.auto.commit", false));
        config.putAll(extra);
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    static List<String> read(KafkaConsumer<String, String> consumer, int count, int seconds) {
        List<String> values = new ArrayList<>();
        long end = System.nanoTime() + seconds * 1_000_000_000L;
        while (values.size() < count && System.nanoTime() < end) {
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) values.add(record.value());
        }
        return values;
    }

    static List<String> readPartition(String topic, int count, String isolation, int seconds) {
        try (KafkaConsumer<String, String> consumer = consumer(Map.of("isolation.level", isolation))) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            consumer.seekToBeginning(consumer.assignment());
            return read(consumer, count, seconds);
        }
    }

    static void send(String topic, List<String> values, Map<String, Object> config) throws Exception {
        try (KafkaProducer<String, String> producer = producer(config)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (String value : values) sent.add(producer.send(new ProducerRecord<>(topic, 0, null, value)));
            for (Future<RecordMetadata> one : sent) one.get();
        }
    }

    static List<String> values(int count) {
        return IntStream.range(0, count).mapToObj(i -> "value " + i).collect(Collectors.toList());
    }

    static void returnsCompressed(String codec) throws Exception {
        String topic = "j-" + codec;
        create(topic, 1);
        send(topic, values(3000), Map.of("compression.type", codec, "linger.ms", 20));
        List<String> got = readPartition(topic, 3000, "read_uncommitted", 30);
        check(got.equals(values(3000)), got.size() + " records");
    }

    static void offsetsAreConsecutive() throws Exception {
        create("j-idempotent", 1);
        try (KafkaProducer<String, String> producer = producer(Map.of("enable.idempotence", true, "batch.size", 500))) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (String value : values(5000)) sent.add(producer.send(new ProducerRecord<>("j-idempotent", value)));
            for (int i = 0; i < sent.size(); i++) check(sent.get(i).get().offset() == i, sent.get(i).get());
        }
    }

    static void refusesTooLargeRecords() throws Exception {
        create("j-large", 1);
        try (KafkaProducer<String, String> producer = producer(Map.of("max.request.size", 10_000_000))) {
            producer.send(new ProducerRecord<>("j-large", "x".repeat(5_000_000))).get();
            throw new AssertionError("taken");
        } catch (ExecutionException refused) {
            check(refused.getCause() instanceof RecordTooLargeException, refused.getCause());
        }
    }

    static void altersConfigs() throws Exception {
        create("j-config", 1);
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, "j-config");
        AlterConfigOp set = new AlterConfigOp(new ConfigEntry("retention.ms", "54321"), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(topic, List.of(set))).all().get();
        String value = admin.describeConfigs(List.of(topic)).all().get().get(topic).get("retention.ms").value();
        check(value.equals("54321"), value);
    }

    static void listsAndDeletesOffsets() throws Exception {
        create("j-offsets", 1);
        TopicPartition where = new TopicPartition("j-offsets", 0);
        send("j-offsets", values(10), Map.of("batch.size", 0));
        check(offset(where, OffsetSpec.earliest()) == 0, offset(where, OffsetSpec.earliest()));
        check(offset(where, OffsetSpec.latest()) == 10, offset(where, OffsetSpec.latest()));
        admin.deleteRecords(Map.of(where, RecordsToDelete.beforeOffset(4))).all().get();
        check(offset(where, OffsetSpec.earliest()) == 4, offset(where, OffsetSpec.earliest()));
        List<String> left = readPartition("j-offsets", 6, "read_uncommitted", 20);
        check(left.equals(values(10).subList(4, 10)), left);
    }

    static long offset(TopicPartition where, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(where, spec)).partitionResult(where).get().offset();
    }

    static void twoMembersShare(String protocol) throws Exception {
        String topic = "j-shared-" + protocol;
        create(topic, 4);
        Map<String, Object> config = Map.of("group.id", topic, "group.protocol", protocol);
        try (KafkaConsumer<String, String> one = consumer(config); KafkaConsumer<String, String> two = consumer(config)) {
            one.subscribe(List.of(topic));
            two.subscribe(List.of(topic));
            long end = System.nanoTime() + 60_000_000_000L;
            while ((one.assignment().size() != 2 || two.assignment().size() != 2) && System.nanoTime() < end) {
                one.poll(Duration.ofMillis(200));
                two.poll(Duration.ofMillis(200));
            }
            Collection<TopicPartition> both = new java.util.HashSet<>(one.assignment());
            both.addAll(two.assignment());
            check(both.size() == 4, one.assignment() + " and " + two.assignment());
        }
    }

    static void groupResumes(String protocol) throws Exception {
        String topic = "j-resumed-" + protocol;
        create(topic, 1);
        send(topic, values(100), Map.of());
        Map<String, Object> config = Map.of("group.id", topic, "group.protocol", protocol, "max.poll.records", 40);
        try (KafkaConsumer<String, String> consumer = consumer(config)) {
            consumer.subscribe(List.of(topic));
            check(read(consumer, 40, 30).equals(values(40)), "another start");
            consumer.commitSync();
        }
        try (KafkaConsumer<String, String> consumer = consumer(config)) {
            consumer.subscribe(List.of(topic));
            List<String> got = read(consumer, 60, 30);
            check(got.equals(values(100).subList(40, 100)), got);
        }
    }

    static void abortedRecordsStayHidden() throws Exception {
        create("j-transactions", 1);
        try (KafkaProducer<String, String> producer = producer(Map.of("transactional.id", "j-transactions"))) {
            producer.initTransactions();
            for (String value : List.of("kept", "aborted", "kept too")) {
                producer.beginTransaction();
                producer.send(new ProducerRecord<>("j-transactions", 0, null, value)).get();
                if (value.equals("aborted")) producer.abortTransaction();
                else producer.commitTransaction();
            }
        }
        List<String> committed = readPartition("j-transactions", 3, "read_committed", 5);
        check(committed.equals(List.of("kept", "kept too")), committed);
        List<String> all = readPartition("j-transactions", 3, "read_uncommitted", 20);
        check(all.equals(List.of("kept", "aborted", "kept too")), all);
    }

    /** By a SubscriptionPattern, which the broker matches. */
    static void expressionFindsLaterTopics() throws Exception {
        create("j-seen-1", 1);
        send("j-seen-1", List.of("first"), Map.of());
        Map<String, Object> config = Map.of("group.id", "j-expression", "group.protocol", "consumer");
        try (KafkaConsumer<String, String> consumer = consumer(config)) {
            consumer.subscribe(new SubscriptionPattern("j-seen-[0-9]+"));
            check(read(consumer, 1, 30).equals(List.of("first")), consumer.assignment());
            create("j-seen-2", 1);
            create("not-j-seen-3", 1);
            send("j-seen-2", List.of("second"), Map.of());
            check(read(consumer, 1, 60).equals(List.of("second")), consumer.assignment());
            check(consumer.assignment().size() == 2, consumer.assignment());
            consumer.subscribe(new SubscriptionPattern("j-seen-["));
            try {
                read(consumer, 1, 30);
                check(false, "an expression that cannot be compiled");
            } catch (InvalidRegularExpression expected) {
                consumer.unsubscribe();
            }
        }
    }

    static void offsetsCommitWithTransaction(String protocol) throws Exception {
        String topic = "j-source-" + protocol, group = "j-exactly-" + protocol;
        create(topic, 1);
        create("j-target-" + protocol, 1);
        send(topic, values(5), Map.of());
        TopicPartition source = new TopicPartition(topic, 0);
        try (KafkaConsumer<String, String> consumer = consumer(Map.of("group.id", group, "group.protocol", protocol));
             KafkaProducer<String, String> producer = producer(Map.of("transactional.id", group))) {
            consumer.subscribe(List.of(topic));
            check(read(consumer, 5, 30).size() == 5, "fewer than five");
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>("j-target-" + protocol, "five"));
            producer.sendOffsetsToTransaction(Map.of(source, new OffsetAndMetadata(5)), consumer.groupMetadata());
            producer.commitTransaction();
            OffsetAndMetadata committed = consumer.committed(java.util.Set.of(source)).get(source);
            check(committed != null && committed.offset() == 5, committed);
        }
    }

    static void newerProducerFences() throws Exception {
        create("j-fenced", 1);
        Map<String, Object> config = Map.of("transactional.id", "j-fenced");
        try (KafkaProducer<String, String> older = producer(config); KafkaProducer<String, String> newer = producer(config)) {
            older.initTransactions();
            older.beginTransaction();
            older.send(new ProducerRecord<>("j-fenced", "old")).get();
            newer.initTransactions();
            try {
                older.commitTransaction();
                throw new AssertionError("committed after it was fenced");
            } catch (ProducerFencedException | org.apache.kafka.common.errors.InvalidProducerEpochException expected) {
                check(true, expected);
            }
        }
    }
}
