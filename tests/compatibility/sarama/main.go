// Cases on sarama's transactions: clients HOST:PORT. One line for each, as cases.verdict_lines reads.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

var address []string

const limit = 60 * time.Second

func config() *sarama.Config {
	made := sarama.NewConfig()
	made.Version = sarama.V3_6_0_0
	made.Producer.Return.Successes = true
	made.Producer.RequiredAcks = sarama.WaitForAll
	made.Consumer.IsolationLevel = sarama.ReadCommitted
	made.Consumer.Offsets.Initial = sarama.OffsetOldest
	made.Consumer.Offsets.AutoCommit.Enable = false
	return made
}

func create(topic string, partitions int32) error {
	admin, err := sarama.NewClusterAdmin(address, config())
	if err != nil {
		return err
	}
	defer admin.Close()
	return admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false)
}

func producer(id string) (sarama.SyncProducer, error) {
	made := config()
	made.Producer.Idempotent = true
	made.Producer.Transaction.ID = id
	made.Producer.Partitioner = sarama.NewRandomPartitioner
	made.Net.MaxOpenRequests = 1
	return sarama.NewSyncProducer(address, made)
}

func send(to sarama.SyncProducer, topic string, values ...string) error {
	messages := make([]*sarama.ProducerMessage, 0, len(values))
	for _, value := range values {
		messages = append(messages, &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)})
	}
	return to.SendMessages(messages)
}

// Everything committed in the topic's partitions up to a record "end" in each, which this writes.
func committed(topic string, partitions int32) ([]string, error) {
	ends, err := sarama.NewSyncProducer(address, func() *sarama.Config {
		made := config()
		made.Producer.Partitioner = sarama.NewManualPartitioner
		return made
	}())
	if err != nil {
		return nil, err
	}
	defer ends.Close()
	consumer, err := sarama.NewConsumer(address, config())
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	var values []string
	for partition := range partitions {
		message := &sarama.ProducerMessage{Topic: topic, Partition: partition, Value: sarama.StringEncoder("end")}
		if _, _, err := ends.SendMessage(message); err != nil {
			return nil, err
		}
		reader, err := consumer.ConsumePartition(topic, partition, sarama.OffsetOldest)
		if err != nil {
			return nil, err
		}
		late := time.After(limit)
		for reading := true; reading; {
			select {
			case found := <-reader.Messages():
				if reading = string(found.Value) != "end"; reading {
					values = append(values, string(found.Value))
				}
			case <-late:
				return nil, fmt.Errorf("the end of partition %d is not readable; before it: %d values", partition, len(values))
			}
		}
		if err := reader.Close(); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func expect(topic, want string) error {
	values, err := committed(topic, 1)
	if found := fmt.Sprint(values); err != nil || found != want {
		return fmt.Errorf("read %s for %s, %v", found, want, err)
	}
	return nil
}

func commitsAndAborts() error {
	const topic = "sarama-transactions"
	if err := create(topic, 1); err != nil {
		return err
	}
	writes, err := producer(topic)
	if err != nil {
		return err
	}
	defer writes.Close()
	for i, end := range []func() error{writes.CommitTxn, writes.AbortTxn, writes.AbortTxn, writes.CommitTxn} {
		if err := writes.BeginTxn(); err != nil {
			return err
		}
		if err := send(writes, topic, fmt.Sprint(i), fmt.Sprint(i)+"+"); err != nil {
			return err
		}
		if err := end(); err != nil {
			return fmt.Errorf("transaction %d: %w", i, err)
		}
	}
	return expect(topic, "[0 0+ 3 3+]")
}

func fencesTheOlder() error {
	const topic = "sarama-fenced"
	if err := create(topic, 1); err != nil {
		return err
	}
	older, err := producer(topic)
	if err != nil {
		return err
	}
	defer older.Close()
	if err := older.BeginTxn(); err != nil {
		return err
	}
	if err := send(older, topic, "zombie"); err != nil {
		return err
	}
	newer, err := producer(topic)
	if err != nil {
		return err
	}
	defer newer.Close()
	err = older.CommitTxn()
	if !errors.Is(err, sarama.ErrProducerFenced) && !errors.Is(err, sarama.ErrInvalidProducerEpoch) {
		return fmt.Errorf("the older producer is not fenced: %v", err)
	}
	if err := newer.BeginTxn(); err != nil {
		return err
	}
	if err := send(newer, topic, "newer"); err != nil {
		return err
	}
	if err := newer.CommitTxn(); err != nil {
		return err
	}
	return expect(topic, "[newer]")
}

// Reads a group's share, writes it and its offsets in transactions, of which each third aborts and is begun again.
type copier struct {
	writes sarama.SyncProducer
	to     string
	group  string
	most   int
	copied int
	done   context.CancelFunc
}

func (*copier) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (*copier) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (c *copier) copy(session sarama.ConsumerGroupSession, message *sarama.ConsumerMessage, aborts bool) error {
	if err := c.writes.BeginTxn(); err != nil {
		return err
	}
	if err := send(c.writes, c.to, string(message.Value)); err != nil {
		return err
	}
	metadata := sarama.NewConsumerGroupMetadataFromSession(session, c.group, nil)
	if err := c.writes.AddMessageToTxnWithGroupMetadata(message, metadata, nil); err != nil {
		return err
	}
	if aborts {
		return c.writes.AbortTxn()
	}
	return c.writes.CommitTxn()
}

func (c *copier) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case <-session.Context().Done():
			return nil
		case message, more := <-claim.Messages():
			if !more {
				return nil
			}
			if c.copied%3 == 1 {
				if err := c.copy(session, message, true); err != nil {
					return err
				}
			}
			if err := c.copy(session, message, false); err != nil {
				return err
			}
			session.MarkMessage(message, "")
			if c.copied++; c.copied == c.most {
				c.done()
				return nil
			}
		}
	}
}

func copyRecords(from, to, group string, most int) error {
	writes, err := producer(group)
	if err != nil {
		return err
	}
	defer writes.Close()
	members, err := sarama.NewConsumerGroup(address, group, config())
	if err != nil {
		return err
	}
	defer members.Close()
	ctx, done := context.WithTimeout(context.Background(), limit)
	defer done()
	work := &copier{writes: writes, to: to, group: group, most: most, done: done}
	for ctx.Err() == nil {
		if err := members.Consume(ctx, []string{from}, work); err != nil {
			return err
		}
	}
	if work.copied != most {
		return fmt.Errorf("%d records were copied within the time for %d", work.copied, most)
	}
	return nil
}

func copiesExactlyOnce() error {
	const from, to, group, count = "sarama-source", "sarama-target", "sarama-copiers", 120
	for _, topic := range []string{from, to} {
		if err := create(topic, 1); err != nil {
			return err
		}
	}
	plain, err := sarama.NewSyncProducer(address, config())
	if err != nil {
		return err
	}
	defer plain.Close()
	var want []string
	for i := range count {
		want = append(want, fmt.Sprint(i))
	}
	if err := send(plain, from, want...); err != nil {
		return err
	}
	for _, most := range []int{50, count - 50} { // the second goes on where the first's transactions left the offsets
		if err := copyRecords(from, to, group, most); err != nil {
			return err
		}
	}
	return expect(to, fmt.Sprint(want))
}

func main() {
	address = os.Args[1:2]
	for _, one := range []struct {
		name string
		run  func() error
	}{
		{"transactions commit and abort", commitsAndAborts},
		{"a newer transactional producer fences the older", fencesTheOlder},
		{"a group's records are copied exactly once", copiesExactlyOnce},
	} {
		if err := one.run(); err != nil {
			fmt.Printf("FAILED\t%s\t%s\n", one.name, strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Printf("PASSED\t%s\n", one.name)
		}
	}
}
