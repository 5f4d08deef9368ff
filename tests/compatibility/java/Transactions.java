// A history of transactions, for differential_transactions.py: java -cp ... Transactions.java HOST:PORT ends without closing its
// producers, so that what is open stays open.

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringSerializer;

public class Transactions {
    static final String TOPIC = "x-one";
    static String address;

    static KafkaProducer<String, String> producer(String id) {
        KafkaProducer<String, String> made = new KafkaProducer<>(
            Map.of("bootstrap.servers", address, "transactional.id", id, "transaction.timeout.ms", 900_000),
            new StringSerializer(), new StringSerializer());
        made.initTransactions();
        return made;
    }

    static void write(KafkaProducer<String, String> producer, String value, int... partitions) throws Exception {
        for (int partition : partitions) producer.send(new ProducerRecord<>(TOPIC, partition, null, value)).get();
    }

    static void offset(KafkaProducer<String, String> producer, long offset) {
        producer.sendOffsetsToTransaction(Map.of(new TopicPartition(TOPIC, 0), new OffsetAndMetadata(offset)),
            new ConsumerGroupMetadata("x-readers"));
    }

    public static void main(String[] arguments) throws Exception {
        address = arguments[0];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", address))) {
            admin.createTopics(List.of(new NewTopic(TOPIC, 2, (short) 1), new NewTopic("x-two", 1, (short) 1))).all().get();
        }
        List<KafkaProducer<String, String>> kept = new ArrayList<>();
        KafkaProducer<String, String> commits = producer("x-committed");
        for (int turn = 0; turn < 3; turn++) {
            commits.beginTransaction();
            write(commits, "committed " + turn, 0, 1);
            offset(commits, 1 + turn);
            commits.commitTransaction();
        }
        KafkaProducer<String, String> aborts = producer("x-aborted");
        aborts.beginTransaction();
        write(aborts, "aborted", 0);
        offset(aborts, 17);
        aborts.abortTransaction();
        aborts.beginTransaction();
        write(aborts, "committed after an abort", 1);
        aborts.commitTransaction();
        aborts.beginTransaction();
        write(aborts, "aborted again", 1);
        aborts.abortTransaction();
        kept.add(producer("x-initialized"));
        producer("x-taken-over").beginTransaction();
        KafkaProducer<String, String> over = producer("x-taken-over");
        over.beginTransaction();
        write(over, "aborted by the next", 0);
        over = producer("x-taken-over");
        kept.add(over);
        KafkaProducer<String, String> open = producer("x-open");
        open.beginTransaction();
        write(open, "open", 0, 1);
        offset(open, 7);
        kept.add(open);
        commits.beginTransaction();
        write(commits, "committed behind the open one", 0);
        commits.commitTransaction();
        Runtime.getRuntime().halt(0);
    }
}
