import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.ArrayList;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.common.runtime.CoordinatorMetadataDelta;
import org.apache.kafka.coordinator.common.runtime.CoordinatorMetadataImage;
import org.apache.kafka.coordinator.group.Utils;

/** Prints the hashes that Kafka's coordinator makes of topics, and of groups that subscribe to them. */
public class MetadataHashes {
    record Topic(String name, Uuid id, List<List<String>> racks) implements CoordinatorMetadataImage.TopicMetadata {
        @Override
        public int partitionCount() {
            return racks.size();
        }

        @Override
        public List<String> partitionRacks(int partition) {
            return new ArrayList<>(racks.get(partition));
        }
    }

    record Image(Topic topic) implements CoordinatorMetadataImage {
        @Override
        public Set<Uuid> topicIds() {
            return Set.of(topic.id);
        }

        @Override
        public Set<String> topicNames() {
            return Set.of(topic.name);
        }

        @Override
        public Optional<TopicMetadata> topicMetadata(String name) {
            return name.equals(topic.name) ? Optional.of(topic) : Optional.empty();
        }

        @Override
        public Optional<TopicMetadata> topicMetadata(Uuid id) {
            return Optional.empty();
        }

        @Override
        public CoordinatorMetadataDelta emptyDelta() {
            return null;
        }

        @Override
        public long version() {
            return 1;
        }

        @Override
        public boolean isEmpty() {
            return false;
        }
    }

    public static void main(String[] arguments) {
        System.out.println("# Hashes of topics as Apache Kafka 4.4.0 makes them: hash, name, id, racks of each partition (-: none); and of");
        System.out.println("# all topics above, and of none. Made by tests/compatibility/group_testdata.py.");
        Map<String, Long> all = new LinkedHashMap<>();
        List<String> none = List.of();
        List<List<String>> many = new ArrayList<>();
        for (int i = 0; i < 300; ++i) many.add(i % 3 == 0 ? List.of("east", "west") : none);
        for (Topic topic : List.of(
                new Topic("orders", new Uuid(0x0123456789abcdefL, 0xfedcba9876543210L), List.of(none)),
                new Topic("a", new Uuid(1, 2), List.of(List.of("east"), List.of("west", "east"), none)),
                new Topic("no.partitions", new Uuid(-1, -2), List.of()),
                new Topic("z-racks", new Uuid(7, 7), List.of(List.of("Zürich", "東", "𝒳"), List.of("", "e"))),
                new Topic("many_partitions", new Uuid(8, 9), many))) {
            long hash = Utils.computeTopicHash(topic.name, new Image(topic));
            all.put(topic.name, hash);
            StringBuilder line = new StringBuilder(hash + " " + topic.name + " " + topic.id);
            for (List<String> racks : topic.racks) line.append(" ").append(racks.isEmpty() ? "-" : String.join(",", racks));
            System.out.println(line);
        }
        System.out.println(Utils.computeGroupHash(all) + " all");
        System.out.println(Utils.computeGroupHash(Map.of()) + " none");
    }
}
