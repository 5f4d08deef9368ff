import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.coordinator.common.runtime.CoordinatorRecord;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordHelpers;
import org.apache.kafka.coordinator.group.GroupCoordinatorRecordSerde;
import org.apache.kafka.coordinator.group.generated.ConsumerGroupCurrentMemberAssignmentKey;
import org.apache.kafka.coordinator.group.generated.ConsumerGroupCurrentMemberAssignmentValue;
import org.apache.kafka.coordinator.group.generated.ConsumerGroupMemberMetadataKey;
import org.apache.kafka.coordinator.group.generated.ConsumerGroupMemberMetadataValue;
import org.apache.kafka.coordinator.group.generated.ConsumerGroupPartitionMetadataKey;
import org.apache.kafka.coordinator.group.generated.ConsumerGroupPartitionMetadataValue;
import org.apache.kafka.coordinator.group.generated.ConsumerGroupTargetAssignmentMemberKey;
import org.apache.kafka.coordinator.group.generated.ConsumerGroupTargetAssignmentMemberValue;
import org.apache.kafka.coordinator.group.modern.MemberState;
import org.apache.kafka.coordinator.group.modern.consumer.ConsumerGroupMember;
import org.apache.kafka.coordinator.group.modern.consumer.ResolvedRegularExpression;
import org.apache.kafka.server.common.ApiMessageAndVersion;

/** Prints records of consumer groups as Kafka's coordinator writes them. The test of ours names the same contents. */
public class ConsumerGroupRecords {
    static final Uuid A = new Uuid(0x0a00000000000001L, 0x0a00000000000002L), B = new Uuid(0x0b00000000000001L, 0x8b00000000000002L);
    static final GroupCoordinatorRecordSerde SERDE = new GroupCoordinatorRecordSerde();

    public static void main(String[] arguments) {
        System.out.println("# Records of consumer groups as Apache Kafka 4.4.0 encodes them: name, key, value (-: a tombstone).");
        System.out.println("# Made by tests/compatibility/group_testdata.py.");
        print("group", GroupCoordinatorRecordHelpers.newConsumerGroupEpochRecord("g", 7, 0x0102030405060708L));
        print("group-bare", GroupCoordinatorRecordHelpers.newConsumerGroupEpochRecord("g", 1, 0));
        print("group-gone", GroupCoordinatorRecordHelpers.newConsumerGroupEpochTombstoneRecord("g"));
        print("partition-metadata", CoordinatorRecord.record(new ConsumerGroupPartitionMetadataKey().setGroupId("g"),
            value(new ConsumerGroupPartitionMetadataValue().setTopics(List.of(new ConsumerGroupPartitionMetadataValue.TopicMetadata()
                .setTopicId(A).setTopicName("t").setNumPartitions(3))))));
        print("partition-metadata-gone", GroupCoordinatorRecordHelpers.newConsumerGroupSubscriptionMetadataTombstoneRecord("g"));
        print("member", GroupCoordinatorRecordHelpers.newConsumerGroupMemberSubscriptionRecord("g", member()
            .setInstanceId("i").setRackId("r").setSubscribedTopicNames(List.of("u", "t")).setSubscribedTopicRegex("t.*")
            .setRebalanceTimeoutMs(60_000).setServerAssignorName("range")
            .setClassicMemberMetadata(new ConsumerGroupMemberMetadataValue.ClassicMemberMetadata().setSessionTimeoutMs(45_000)
                .setSupportedProtocols(List.of(protocol("range", 1, 2), protocol("cooperative-sticky")))).build()));
        print("member-bare", GroupCoordinatorRecordHelpers.newConsumerGroupMemberSubscriptionRecord("g", member().build()));
        print("member-gone", GroupCoordinatorRecordHelpers.newConsumerGroupMemberSubscriptionTombstoneRecord("g", "m"));
        print("member-of-3.7", CoordinatorRecord.record(new ConsumerGroupMemberMetadataKey().setGroupId("g").setMemberId("m"),
            value(new ConsumerGroupMemberMetadataValue().setClientId("c").setClientHost("/10.0.0.1").setInstanceId(null).setRackId(null)
                .setSubscribedTopicRegex("").setServerAssignor(null).setSubscribedTopicNames(List.of("u", "t", "u"))
                .setClassicMemberMetadata(new ConsumerGroupMemberMetadataValue.ClassicMemberMetadata()))));
        print("target", GroupCoordinatorRecordHelpers.newConsumerGroupTargetAssignmentMetadataRecord("g", 7, 1_735_689_600_000L));
        print("target-of-4.2", GroupCoordinatorRecordHelpers.newConsumerGroupTargetAssignmentMetadataRecord("g", 7, 0));
        print("target-gone", GroupCoordinatorRecordHelpers.newConsumerGroupTargetAssignmentMetadataTombstoneRecord("g"));
        Map<Uuid, Set<Integer>> assignment = new LinkedHashMap<>();
        assignment.put(A, new LinkedHashSet<>(List.of(0, 1, 300)));
        assignment.put(B, Set.of(2));
        print("target-member", GroupCoordinatorRecordHelpers.newConsumerGroupTargetAssignmentRecord("g", "m", assignment));
        print("target-member-bare", GroupCoordinatorRecordHelpers.newConsumerGroupTargetAssignmentRecord("g", "m", Map.of()));
        print("target-member-gone", GroupCoordinatorRecordHelpers.newConsumerGroupTargetAssignmentTombstoneRecord("g", "m"));
        print("target-member-unsorted", target(targets(B, 2), targets(A, 300, 0, 1, 0), targets(new Uuid(1, 1))));
        print("target-member-twice", target(targets(A, 1), targets(A, 2)));
        print("target-member-negative", target(targets(A, 1, -1)));
        Map<Uuid, Map<Integer, Integer>> assigned = new LinkedHashMap<>();
        assigned.put(A, epochs(0, 5, 1, 7));
        assigned.put(B, epochs(2, 7));
        print("current", GroupCoordinatorRecordHelpers.newConsumerGroupCurrentAssignmentRecord("g", member().setMemberEpoch(7)
            .setPreviousMemberEpoch(6).setState(MemberState.UNREVOKED_PARTITIONS).setAssignedPartitions(assigned)
            .setPartitionsPendingRevocation(Map.of(A, epochs(3, 5))).build()));
        print("current-left", GroupCoordinatorRecordHelpers.newConsumerGroupCurrentAssignmentRecord("g",
            member().setMemberEpoch(-2).setPreviousMemberEpoch(7).setState(MemberState.STABLE).build()));
        print("current-gone", GroupCoordinatorRecordHelpers.newConsumerGroupCurrentAssignmentTombstoneRecord("g", "m"));
        print("current-of-4.2", current(7, 2, currents(B, null, 2), currents(A, List.of(), 1, 0)));
        print("current-left-of-4.2", current(-2, 0, currents(A, null, 0)));
        print("current-unsorted", current(7, 9, currents(B, List.of(1), 2), currents(A, List.of(6, 5, 4), 1, 0, 1)));
        print("current-twice", current(7, 0, currents(A, List.of(1), 2), currents(A, List.of(1), 3)));
        print("current-negative", current(7, 0, currents(A, List.of(1), -3)));
        Set<String> topics = new LinkedHashSet<>(List.of("u", "t"));
        print("regex", GroupCoordinatorRecordHelpers.newConsumerGroupRegularExpressionRecord("g", "t|u",
            new ResolvedRegularExpression(topics, 12, 1_735_689_600_000L)));
        print("regex-bare", GroupCoordinatorRecordHelpers.newConsumerGroupRegularExpressionRecord("g", "", ResolvedRegularExpression.EMPTY));
        print("regex-gone", GroupCoordinatorRecordHelpers.newConsumerGroupRegularExpressionTombstone("g", "t|u"));
    }

    static ConsumerGroupMember.Builder member() {
        return new ConsumerGroupMember.Builder("m").setClientId("c").setClientHost("/10.0.0.1").setSubscribedTopicNames(List.of());
    }

    static ConsumerGroupMemberMetadataValue.ClassicProtocol protocol(String name, int... metadata) {
        byte[] bytes = new byte[metadata.length];
        for (int i = 0; i < bytes.length; ++i) bytes[i] = (byte) metadata[i];
        return new ConsumerGroupMemberMetadataValue.ClassicProtocol().setName(name).setMetadata(bytes);
    }

    static Map<Integer, Integer> epochs(int... partitionsAndEpochs) {
        Map<Integer, Integer> all = new LinkedHashMap<>();
        for (int i = 0; i < partitionsAndEpochs.length; i += 2) all.put(partitionsAndEpochs[i], partitionsAndEpochs[i + 1]);
        return all;
    }

    static CoordinatorRecord target(ConsumerGroupTargetAssignmentMemberValue.TopicPartition... lists) {
        return CoordinatorRecord.record(new ConsumerGroupTargetAssignmentMemberKey().setGroupId("g").setMemberId("m"),
            value(new ConsumerGroupTargetAssignmentMemberValue().setTopicPartitions(List.of(lists))));
    }

    static ConsumerGroupTargetAssignmentMemberValue.TopicPartition targets(Uuid topic, Integer... partitions) {
        return new ConsumerGroupTargetAssignmentMemberValue.TopicPartition().setTopicId(topic).setPartitions(List.of(partitions));
    }

    static CoordinatorRecord current(int epoch, int state, ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions... assigned) {
        return CoordinatorRecord.record(new ConsumerGroupCurrentMemberAssignmentKey().setGroupId("g").setMemberId("m"),
            value(new ConsumerGroupCurrentMemberAssignmentValue().setMemberEpoch(epoch).setPreviousMemberEpoch(6)
                .setState((byte) state).setAssignedPartitions(List.of(assigned)).setPartitionsPendingRevocation(new ArrayList<>())));
    }

    static ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions currents(Uuid topic, List<Integer> epochs, Integer... partitions) {
        return new ConsumerGroupCurrentMemberAssignmentValue.TopicPartitions().setTopicId(topic).setPartitions(List.of(partitions))
            .setAssignmentEpochs(epochs);
    }

    static ApiMessageAndVersion value(org.apache.kafka.common.protocol.ApiMessage message) {
        return new ApiMessageAndVersion(message, (short) 0);
    }

    static void print(String name, CoordinatorRecord record) {
        byte[] value = SERDE.serializeValue(record);
        HexFormat hex = HexFormat.of();
        System.out.println(name + " " + hex.formatHex(SERDE.serializeKey(record)) + " " + (value == null ? "-" : hex.formatHex(value)));
    }
}
