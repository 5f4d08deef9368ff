// Cases on kafkajs, whose protocol code is its own: clients.js HOST:PORT. One line for each, as cases.verdict_lines reads.
const assert = require('assert');
const { CompressionTypes, Kafka, logLevel } = require('kafkajs');

const kafka = new Kafka({ clientId: 'kafkajs', brokers: [process.argv[2]], logLevel: logLevel.NOTHING });
const admin = kafka.admin();
const cases = [];
const test = (name, run) => cases.push([name, run]);

async function until(condition, what, seconds = 30) {
  const deadline = Date.now() + seconds * 1000;
  while (!(await condition())) {
    assert(Date.now() < deadline, `${what} did not happen within ${seconds} s`);
    await new Promise((wake) => setTimeout(wake, 20));
  }
}

async function produce(topic, count, options = {}) {
  const producer = kafka.producer(options.producer);
  await producer.connect();
  const messages = Array.from({ length: count }, (_, i) => ({ key: `k${i}`, value: `v${i}`, headers: { h: `${i}` } }));
  await producer.send({ topic, messages, compression: options.compression });
  await producer.disconnect();
}

function member(groupId, topic, found, options = {}) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 500, rebalanceTimeout: 10000 });
  const joins = [];
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => joins.push(payload.memberAssignment[topic] || []));
  const start = async () => {
    await consumer.connect();
    await consumer.subscribe({ topics: [topic], fromBeginning: true });
    await consumer.run({ ...options, eachMessage: async ({ partition, message }) => found.push([partition, message]) });
  };
  return { consumer, joins, start };
}

test('creates topics and shows their offsets', async () => {
  await admin.createTopics({ topics: [{ topic: 'j-created', numPartitions: 3 }] });
  await produce('j-created', 30);
  const offsets = await admin.fetchTopicOffsets('j-created');
  assert.strictEqual(offsets.reduce((sum, one) => sum + Number(one.high), 0), 30);
});

for (const [name, compression] of [['plain', CompressionTypes.None], ['gzip', CompressionTypes.GZIP]]) {
  test(`returns what was produced (${name})`, async () => {
    const topic = `j-${name}`;
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
    await produce(topic, 500, { compression });
    const found = [];
    const reader = member(`j-${name}-readers`, topic, found);
    await reader.start();
    await until(() => found.length === 500, 'reading all');
    found.forEach(([, message], i) => {
      assert.strictEqual(message.value.toString(), `v${i}`);
      assert.strictEqual(message.headers.h.toString(), `${i}`);
    });
    await reader.consumer.disconnect();
  });
}

test('takes an idempotent producer', async () => {
  await admin.createTopics({ topics: [{ topic: 'j-idempotent', numPartitions: 1 }] });
  await produce('j-idempotent', 100, { producer: { idempotent: true, maxInFlightRequests: 1 } });
  assert.strictEqual((await admin.fetchTopicOffsets('j-idempotent'))[0].high, '100');
});

test('two members share the partitions, and one takes over', async () => {
  const topic = 'j-shared';
  await admin.createTopics({ topics: [{ topic, numPartitions: 6 }] });
  const found = [];
  const first = member('j-pair', topic, found);
  const second = member('j-pair', topic, found);
  await Promise.all([first.start(), second.start()]);
  const owned = (one) => (one.joins.length ? one.joins[one.joins.length - 1].length : 0);
  await until(() => owned(first) === 3 && owned(second) === 3, 'three partitions each');
  const described = await admin.describeGroups(['j-pair']);
  assert.strictEqual(described.groups[0].state, 'Stable');
  assert.strictEqual(described.groups[0].members.length, 2);
  await second.consumer.disconnect();
  await until(() => owned(first) === 6, 'all partitions for the one that stays');
  await produce(topic, 60);
  await until(() => found.length === 60, 'reading all');
  await first.consumer.disconnect();
});

test('a group goes on where it committed', async () => {
  const topic = 'j-resumed';
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
  await produce(topic, 10);
  for (const [produced, total] of [[0, 10], [5, 15]]) {
    if (produced) await produce(topic, produced);
    const found = [];
    const reader = member('j-resumed', topic, found, { autoCommitThreshold: 1 });
    await reader.start();
    const expected = produced || 10;
    await until(() => found.length === expected, 'reading what is new');
    await reader.consumer.stop();
    await reader.consumer.disconnect();
    const [{ partitions }] = await admin.fetchOffsets({ groupId: 'j-resumed', topics: [topic] });
    assert.strictEqual(partitions[0].offset, `${total}`);
  }
});

test('offsets are set and groups deleted', async () => {
  const topic = 'j-resumed';
  await admin.setOffsets({ groupId: 'j-resumed', topic, partitions: [{ partition: 0, offset: '3' }] });
  const [{ partitions }] = await admin.fetchOffsets({ groupId: 'j-resumed', topics: [topic] });
  assert.strictEqual(partitions[0].offset, '3');
  await admin.deleteGroups(['j-resumed']);
  const { groups } = await admin.listGroups();
  assert(!groups.some((group) => group.groupId === 'j-resumed'));
});

(async () => {
  await admin.connect();
  for (const [name, run] of cases) {
    try {
      await run();
      console.log(`PASSED\t${name}`);
    } catch (error) {
      console.log(`FAILED\t${name}\t${String(error.message || error).replace(/\s+/g, ' ')}`);
    }
  }
  await admin.disconnect();
  process.exit(0);
})();
