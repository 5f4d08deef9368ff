import java.time.Duration;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.streams.tests.SmokeTestDriver;

/** The driver of Kafka's smoke test, which produces for 40 seconds in place of 90: SmokeTest BOOTSTRAP. */
public class SmokeTest {
    public static void main(String[] arguments) {
        int records = 1000;
        Map<String, Set<Integer>> all = SmokeTestDriver.generate(arguments[0], 20, records, Duration.ofSeconds(40));
        System.exit(SmokeTestDriver.verify(arguments[0], all, records, true).passed() ? 0 : 1);
    }
}
