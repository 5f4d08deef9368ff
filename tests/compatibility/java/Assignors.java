import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.group.api.assignor.ConsumerGroupPartitionAssignor;
import org.apache.kafka.coordinator.group.api.assignor.SubscribedTopicDescriber;
import org.apache.kafka.coordinator.group.api.assignor.SubscriptionType;
import org.apache.kafka.coordinator.group.assignor.RangeAssignor;
import org.apache.kafka.coordinator.group.assignor.UniformAssignor;
import org.apache.kafka.coordinator.group.modern.Assignment;
import org.apache.kafka.coordinator.group.modern.GroupSpecImpl;
import org.apache.kafka.coordinator.group.modern.MemberSubscriptionAndAssignmentImpl;

/** Prints what Kafka's assignors make of random groups. */
public class Assignors {
    static final int CASES = 200;

    record Member(String id, String instance, TreeSet<Integer> topics) {}

    public static void main(String[] arguments) {
        System.out.println("# What the assignors of Apache Kafka 4.4.0 make of random groups: whether subscriptions are equal (=) or not (!);");
        System.out.println("# members, each its instance id (-: none) and topics; by topic the owner of each partition (-: nobody): before, by");
        System.out.println("# range, by uniform. Made by tests/compatibility/group_testdata.py.");
        for (int i = 0; i < CASES; ++i) print(new Random(i), i % 2 == 0);
    }

    static void print(Random random, boolean equal) {
        List<Member> members = new ArrayList<>();
        int topicCount = 1 + random.nextInt(6), memberCount = 1 + random.nextInt(random.nextInt(3) == 0 ? 26 : 6);
        TreeSet<Integer> all = new TreeSet<>();
        for (int m = 0; m < memberCount; ++m) {
            TreeSet<Integer> topics = new TreeSet<>();
            for (int t = 0; t < topicCount; ++t) if (equal || random.nextBoolean()) topics.add(t);
            if (topics.isEmpty()) topics.add(random.nextInt(topicCount));
            all.addAll(topics);
            members.add(new Member("m" + (char) ('a' + m), random.nextInt(3) == 0 ? "i" + (9 - m % 10) + (char) ('a' + m) : null, topics));
        }
        // Numbers without gaps.
        List<Integer> numbers = new ArrayList<>(all);
        for (Member member : members) {
            TreeSet<Integer> topics = new TreeSet<>();
            for (int topic : member.topics) topics.add(numbers.indexOf(topic));
            member.topics.clear();
            member.topics.addAll(topics);
        }
        int[] counts = new int[numbers.size()];
        for (int t = 0; t < counts.length; ++t) counts[t] = 1 + random.nextInt(random.nextInt(4) == 0 ? 60 : 12);

        char[][] before = nobody(counts);
        switch (random.nextInt(4)) {
            case 0 -> { }
            case 1 -> scatter(before, random, memberCount, 0);
            case 2 -> scatter(before, random, memberCount, 3);
            default -> {  // by uniform, before some members and partitions came
                List<Member> earlier = members.subList(0, 1 + random.nextInt(memberCount));
                char[][] assigned = assign(new UniformAssignor(), earlier, false, counts, before);
                for (int t = 0; t < counts.length; ++t)
                    for (int p = 0; p < counts[t]; ++p) if (random.nextInt(8) > 0) before[t][p] = assigned[t][p];
            }
        }
        StringBuilder line = new StringBuilder(equal ? "=" : "!");
        for (int m = 0; m < memberCount; ++m) {
            Member member = members.get(m);
            line.append(m == 0 ? " " : ",").append(member.instance == null ? "-" : member.instance).append(":");
            for (int topic : member.topics) line.append(topic);
        }
        line.append(" ").append(text(before));
        line.append(" ").append(text(assign(new RangeAssignor(), members, equal, counts, before)));
        line.append(" ").append(text(assign(new UniformAssignor(), members, equal, counts, before)));
        System.out.println(line);
    }

    static char[][] nobody(int[] counts) {
        char[][] owners = new char[counts.length][];
        for (int t = 0; t < counts.length; ++t) owners[t] = "-".repeat(counts[t]).toCharArray();
        return owners;
    }

    static void scatter(char[][] owners, Random random, int members, int freeOneIn) {
        for (char[] topic : owners)
            for (int p = 0; p < topic.length; ++p)
                if (freeOneIn == 0 || random.nextInt(freeOneIn) > 0) topic[p] = (char) ('a' + random.nextInt(members));
    }

    static String text(char[][] owners) {
        List<String> topics = new ArrayList<>();
        for (char[] topic : owners) topics.add(new String(topic));
        return String.join(",", topics);
    }

    static Uuid id(int topic) {
        return new Uuid(1, topic + 1);
    }

    static char[][] assign(ConsumerGroupPartitionAssignor assignor, List<Member> members, boolean equal, int[] counts, char[][] before) {
        Map<String, MemberSubscriptionAndAssignmentImpl> specs = new HashMap<>();
        Map<Uuid, Map<Integer, String>> inverted = new HashMap<>();
        for (int m = 0; m < members.size(); ++m) {
            Member member = members.get(m);
            Map<Uuid, Set<Integer>> owned = new HashMap<>();
            for (int t = 0; t < counts.length; ++t) {
                for (int p = 0; p < counts[t]; ++p) {
                    if (before[t][p] != 'a' + m) continue;
                    owned.computeIfAbsent(id(t), ignored -> new TreeSet<>()).add(p);
                    inverted.computeIfAbsent(id(t), ignored -> new HashMap<>()).put(p, member.id);
                }
            }
            Set<Uuid> topics = new TreeSet<>();
            for (int topic : member.topics) topics.add(id(topic));
            specs.put(member.id, new MemberSubscriptionAndAssignmentImpl(Optional.empty(), Optional.ofNullable(member.instance), topics,
                new Assignment(Collections.unmodifiableMap(owned))));
        }
        SubscribedTopicDescriber describer = new SubscribedTopicDescriber() {
            @Override
            public int numPartitions(Uuid topic) {
                return counts[(int) topic.getLeastSignificantBits() - 1];
            }

            @Override
            public Set<String> racksForPartition(Uuid topic, int partition) {
                return Set.of();
            }
        };
        SubscriptionType type = equal ? SubscriptionType.HOMOGENEOUS : SubscriptionType.HETEROGENEOUS;
        var assigned = assignor.assign(new GroupSpecImpl(specs, type, inverted), describer);
        char[][] owners = nobody(counts);
        for (int m = 0; m < members.size(); ++m) {
            var of = assigned.members().get(members.get(m).id);
            if (of == null) continue;
            for (var entry : of.partitions().entrySet())
                for (int p : entry.getValue()) owners[(int) entry.getKey().getLeastSignificantBits() - 1][p] = (char) ('a' + m);
        }
        return owners;
    }
}
