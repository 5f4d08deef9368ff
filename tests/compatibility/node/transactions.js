// Cases on kafkajs's transactions: transactions.js HOST:PORT. One line for each, as cases.verdict_lines reads.
const assert = require('assert');
const { Kafka, logLevel } = require('kafkajs');

const kafka = new Kafka({ clientId: 'kafkajs', brokers: [process.argv[2]], logLevel: logLevel.NOTHING });
const admin = kafka.admin();
const cases = [];
const test = (name, run) => cases.push([name, run]);

async function transactional(transactionalId) {
  const producer = kafka.producer({ transactionalId, idempotent: true, maxInFlightRequests: 1, retry: { retries: 5 } });
  await producer.connect();
  return producer;
}

// All values in the topic's one partition up to the record "end", which this writes.
async function read(topic, readUncommitted) {
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic, messages: [{ value: 'end' }] });
  await producer.disconnect();
  const consumer = kafka.consumer({ groupId: `${topic}-${readUncommitted}-readers`, readUncommitted });
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  const values = [];
  let late;
  try {
    await new Promise((resolve, reject) => {
      late = setTimeout(() => reject(new Error(`the end is not readable; before it: ${values}`)), 30000);
      consumer.run({
        eachMessage: async ({ message }) => {
          const value = message.value.toString();
          if (value === 'end') resolve();
          else values.push(value);
        },
      }).catch(reject);
    });
  } finally {
    clearTimeout(late);
    await consumer.disconnect();
  }
  return values;
}

test('transactions commit and abort', async () => {
  const topic = 'jt-ends';
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
  const producer = await transactional(topic);
  for (const [i, end] of ['commit', 'abort', 'abort', 'commit'].entries()) {
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: [{ value: `${i}` }, { value: `${i} too` }] });
    await transaction[end]();
  }
  await producer.disconnect();
  assert.deepStrictEqual(await read(topic, false), ['0', '0 too', '3', '3 too']);
  assert.strictEqual((await read(topic, true)).filter((value) => value !== 'end').length, 8);
});

test('offsets commit and abort with a transaction', async () => {
  const [source, target] = ['jt-source', 'jt-target'];
  await admin.createTopics({ topics: [source, target].map((topic) => ({ topic, numPartitions: 1 })) });
  const producer = await transactional('jt-copier');
  const offsetOf = async () => (await admin.fetchOffsets({ groupId: 'jt-group', topics: [source] }))[0].partitions[0].offset;
  for (const [end, value, offset, found] of [['commit', 'kept', '5', '5'], ['abort', 'gone', '9', '5'], ['commit', 'kept too', '7', '7']]) {
    const transaction = await producer.transaction();
    await transaction.send({ topic: target, messages: [{ value }] });
    await transaction.sendOffsets({ consumerGroupId: 'jt-group', topics: [{ topic: source, partitions: [{ partition: 0, offset }] }] });
    await transaction[end]();
    // A broker may answer the end of a transaction before the group hears of it.
    const late = Date.now() + 30000;
    while ((await offsetOf()) !== found) assert(Date.now() < late, `${end} of ${offset}: the offset is ${await offsetOf()} for ${found}`);
  }
  await producer.disconnect();
  assert.deepStrictEqual(await read(target, false), ['kept', 'kept too']);
});

test('a topic is copied exactly once, by one consumer after the other', async () => {
  const [source, target, count] = ['jt-many', 'jt-copies', 60];
  await admin.createTopics({ topics: [source, target].map((topic) => ({ topic, numPartitions: 1 })) });
  const plain = kafka.producer();
  await plain.connect();
  const wanted = Array.from({ length: count }, (_, i) => `v${i}`);
  await plain.send({ topic: source, messages: wanted.map((value) => ({ value })) });
  await plain.disconnect();
  let turn = 0;
  for (const most of [25, count]) {
    const producer = await transactional('jt-many');
    const consumer = kafka.consumer({ groupId: 'jt-copiers', readUncommitted: false, sessionTimeout: 6000 });
    await consumer.connect();
    await consumer.subscribe({ topics: [source], fromBeginning: true });
    await new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${turn} turns were made within the time`)), 30000);
      consumer.run({
        autoCommit: false,
        eachMessage: async ({ topic, partition, message }) => {
          if (Number(message.offset) >= most) return;
          for (const end of turn++ % 4 === 1 ? ['abort', 'commit'] : ['commit']) {
            const transaction = await producer.transaction();
            await transaction.send({ topic: target, messages: [{ value: message.value.toString() }] });
            const offset = `${Number(message.offset) + 1}`;
            await transaction.sendOffsets({ consumerGroupId: 'jt-copiers', topics: [{ topic, partitions: [{ partition, offset }] }] });
            await transaction[end]();
          }
          if (Number(message.offset) + 1 === most) {
            clearTimeout(late);
            resolve();
          }
        },
      }).catch(reject);
    });
    await consumer.disconnect();
    await producer.disconnect();
  }
  assert.deepStrictEqual(await read(target, false), wanted);
});

test('a newer producer fences the older', async () => {
  const topic = 'jt-fenced';
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
  const older = await transactional(topic);
  const zombie = await older.transaction();
  await zombie.send({ topic, messages: [{ value: 'zombie' }] });
  const newer = await transactional(topic);
  const transaction = await newer.transaction();
  await transaction.send({ topic, messages: [{ value: 'newer' }] });
  await transaction.commit();
  await assert.rejects(zombie.commit(), (error) => /PRODUCER_FENCED|INVALID_PRODUCER_EPOCH/.test(error.type || (error.cause || {}).type));
  await newer.disconnect();
  await older.disconnect();
  assert.deepStrictEqual(await read(topic, false), ['newer']);
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
