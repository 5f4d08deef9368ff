import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.common.errors.InvalidTxnStateException;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * Counts words: BOOTSTRAP STATE-FOLDER INPUT OUTPUT [SETTING=VALUE...], until its standard input ends. Repartitions, and keeps a store
 * with a changelog. A line takes it pause.ms.
 */
public class WordCount {
    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[1]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "counts-" + arguments[2]);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.AT_LEAST_ONCE);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 200);
        settings.put("consumer.session.timeout.ms", 6000);
        for (String more : Arrays.asList(arguments).subList(4, arguments.length)) {
            settings.put(more.split("=", 2)[0], more.split("=", 2)[1]);
        }

        int pause = Integer.parseInt((String) settings.getOrDefault("pause.ms", "0"));

        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, String> lines = builder.stream(arguments[2]);
        lines.flatMapValues(line -> {
                LockSupport.parkNanos(pause * 1_000_000L);
                return Arrays.asList(line.split(" "));
            })
            .groupBy((key, word) -> word)
            .count(Materialized.as("counts"))
            .toStream()
            .mapValues(String::valueOf)
            .to(arguments[3], Produced.with(Serdes.String(), Serdes.String()));
        try (KafkaStreams streams = new KafkaStreams(builder.build(), settings)) {
            streams.setUncaughtExceptionHandler(problem -> {
                problem.printStackTrace();
                // The commit of a transaction that ran out of time, as after a pause: what the thread did is aborted.
                for (Throwable cause = problem; cause != null; cause = cause.getCause()) {
                    if (cause instanceof InvalidTxnStateException) return StreamThreadExceptionResponse.REPLACE_THREAD;
                }
                Runtime.getRuntime().halt(1);
                return null;
            });
            streams.start();
            while (System.in.read() >= 0) {
            }
        }
    }
}
