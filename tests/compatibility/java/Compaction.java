import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.utils.BufferSupplier;
import org.apache.kafka.storage.internals.log.CleanedTransactionMetadata;
import org.apache.kafka.storage.internals.log.TransactionIndex;

/** Cleans batches with Kafka's MemoryRecords.filterTo, as its Cleaner does, and compares with what Weir made of the same ones. */
public class Compaction {
    public static void main(String[] arguments) throws Exception {
        List<Path> samples;
        try (Stream<Path> files = Files.list(Path.of(arguments[0]))) {
            samples = files.filter(path -> path.toString().endsWith(".before")).sorted().toList();
        }
        int batches = 0;
        for (Path sample : samples) batches += compare(sample.toString().replaceAll("\\.before$", ""));
        System.out.println(batches + " batches of " + samples.size() + " cleanings agree");
    }

    static int compare(String name) throws Exception {
        List<String> rules = Files.readAllLines(Path.of(name + ".rules"));
        String[] numbers = rules.get(0).split(" ");
        long now = Long.parseLong(numbers[0]), retention = Long.parseLong(numbers[1]), end = Long.parseLong(numbers[2]);
        Map<Long, long[]> producers = new HashMap<>();  // offset of the last batch, epoch
        for (String line : rules.subList(1, rules.size())) {
            String[] words = line.split(" ");
            producers.put(Long.parseLong(words[0]), new long[] {Long.parseLong(words[1]), Long.parseLong(words[2])});
        }
        MemoryRecords before = read(name + ".before");
        Map<ByteBuffer, Long> newest = new HashMap<>();
        CleanedTransactionMetadata mapping = transactions(name);
        for (MutableRecordBatch batch : before.batches()) {
            if (batch.isControlBatch()) mapping.onControlBatchRead(batch);
            else if (!mapping.onBatchRead(batch))
                for (Record record : batch) if (record.hasKey()) newest.put(record.key().duplicate(), record.offset());
        }
        CleanedTransactionMetadata transactions = transactions(name);
        TransactionIndex cleaned = new TransactionIndex(0, Path.of(name + ".cleaned.txnindex").toFile());
        transactions.setCleanedIndex(Optional.of(cleaned));

        MemoryRecords.RecordFilter filter = new MemoryRecords.RecordFilter(now, retention) {
            private boolean discard;

            @Override
            protected BatchRetentionResult checkBatchRetention(RecordBatch batch) {
                boolean control = batch.isControlBatch();
                boolean needless = control ? transactions.onControlBatchRead(batch) : transactions.onBatchRead(batch);
                discard = needless && (!control || (batch.deleteHorizonMs().isPresent() && batch.deleteHorizonMs().getAsLong() <= now));
                long[] known = batch.hasProducerId() ? producers.get(batch.producerId()) : null;
                boolean last = known != null
                    && (known[0] >= 0 ? known[0] == batch.lastOffset() : control && known[1] == batch.producerEpoch());
                BatchRetention retention = last || batch.nextOffset() == end ? BatchRetention.RETAIN_EMPTY
                    : discard ? BatchRetention.DELETE : BatchRetention.DELETE_EMPTY;
                return new BatchRetentionResult(retention, needless && control);
            }

            @Override
            protected boolean shouldRetainRecord(RecordBatch batch, Record record) {
                if (discard) return false;
                if (batch.isControlBatch()) return true;
                if (!record.hasKey() || record.offset() < newest.get(record.key())) return false;
                return record.hasValue() || batch.deleteHorizonMs().isEmpty() || now < batch.deleteHorizonMs().getAsLong();
            }
        };
        ByteBuffer room = ByteBuffer.allocate(before.sizeInBytes() * 2 + (1 << 20));
        before.filterTo(filter, room, BufferSupplier.NO_CACHING);
        room.flip();
        List<MutableRecordBatch> expected = list(MemoryRecords.readableRecords(room)), found = list(read(name + ".after"));
        if (expected.size() != found.size()) throw new Exception(name + ": " + found.size() + " batches, Kafka has " + expected.size());
        for (int i = 0; i < expected.size(); ++i) {
            String theirs = describe(expected.get(i)), ours = describe(found.get(i));
            if (!theirs.equals(ours)) throw new Exception(name + ", batch " + i + "\n  Kafka: " + theirs + "\n  Weir:  " + ours);
        }
        String entries = cleaned.allAbortedTxns().toString(), own = index(name + ".after.txnindex").allAbortedTxns().toString();
        if (!entries.equals(own)) throw new Exception(name + ", aborted transactions\n  Kafka: " + entries + "\n  Weir:  " + own);
        return expected.size();
    }

    static CleanedTransactionMetadata transactions(String name) throws Exception {
        CleanedTransactionMetadata all = new CleanedTransactionMetadata();
        all.addAbortedTransactions(index(name + ".before.txnindex").allAbortedTxns());
        return all;
    }

    static TransactionIndex index(String path) throws Exception {
        return new TransactionIndex(0, Path.of(path).toFile());
    }

    static MemoryRecords read(String path) throws Exception {
        return MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(Path.of(path))));
    }

    static List<MutableRecordBatch> list(MemoryRecords records) {
        List<MutableRecordBatch> all = new ArrayList<>();
        records.batches().forEach(all::add);
        return all;
    }

    // All bytes of a batch that is not compressed; of others what they say and hold, as compressors differ.
    static String describe(MutableRecordBatch batch) throws Exception {
        batch.ensureValid();
        ByteBuffer bytes = ByteBuffer.allocate(batch.sizeInBytes());
        batch.writeTo(bytes);
        StringBuilder text = new StringBuilder(batch.toString().replaceAll("crc=\\d+|sizeInBytes=\\d+", ""));
        text.append(' ').append(batch.compressionType()).append(' ').append(batch.deleteHorizonMs())
            .append(' ').append(batch.baseSequence()).append(' ').append(batch.lastSequence()).append(' ')
            .append(batch.producerId()).append(' ').append(batch.producerEpoch()).append(' ')
            .append(batch.partitionLeaderEpoch()).append(' ').append(batch.maxTimestamp()).append(' ').append(batch.timestampType());
        byte[] raw = bytes.array();
        if (batch.compressionType().id == 0) return text.append(' ').append(java.util.HexFormat.of().formatHex(raw)).toString();
        text.append(' ').append(java.util.HexFormat.of().formatHex(raw, 21, 61));  // from the attributes to the count
        for (Record record : batch) {
            text.append(' ').append(record.offset()).append('@').append(record.timestamp()).append(':').append(text(record.key()))
                .append('=').append(record.hasValue() ? text(record.value()) : "null").append(record.headers().length);
        }
        return text.toString();
    }

    static String text(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return new String(bytes, java.nio.charset.StandardCharsets.UTF_8);
    }
}
