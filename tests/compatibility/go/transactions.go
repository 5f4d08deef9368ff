package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The values of the topic that are committed, as many as are wanted and those behind them up to the last stable offset.
func committed(ctx context.Context, topic string, isolation kgo.IsolationLevel) ([]string, error) {
	reader, err := client(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(isolation), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.KeepControlRecords())
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	list := admin.ListCommittedOffsets
	if isolation == kgo.ReadUncommitted() {
		list = admin.ListEndOffsets
	}
	ends, err := list(ctx, topic)
	if err != nil {
		return nil, err
	}
	missing := map[int32]bool{}
	for partition, end := range ends[topic] {
		if end.Offset > 0 {
			missing[partition] = true
		}
	}
	var values []string
	for len(missing) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return values, fmt.Errorf("%d values, then %w", len(values), err)
		}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			for _, record := range p.Records {
				if !record.Attrs.IsControl() {
					values = append(values, string(record.Value))
				}
				if record.Offset+1 >= ends[topic][p.Partition].Offset {
					delete(missing, p.Partition)
				}
			}
		})
	}
	return values, nil
}

func inTransaction(ctx context.Context, producer *kgo.Client, topic, value string, end kgo.TransactionEndTry) error {
	if err := producer.BeginTransaction(); err != nil {
		return err
	}
	if err := producer.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
		return err
	}
	return producer.EndTransaction(ctx, end)
}

func commitsAndAborts(ctx context.Context) error {
	const topic = "g-transactions"
	if err := create(ctx, topic, 1); err != nil {
		return err
	}
	producer, err := client(kgo.TransactionalID(topic))
	if err != nil {
		return err
	}
	defer producer.Close()
	for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryAbort, kgo.TryCommit} {
		if err := inTransaction(ctx, producer, topic, fmt.Sprint(i), end); err != nil {
			return fmt.Errorf("transaction %d: %w", i, err)
		}
	}
	for isolation, want := range map[kgo.IsolationLevel]string{kgo.ReadCommitted(): "[0 3]", kgo.ReadUncommitted(): "[0 1 2 3]"} {
		values, err := committed(ctx, topic, isolation)
		if err != nil {
			return err
		}
		if found := fmt.Sprint(values); found != want {
			return fmt.Errorf("read %s for %s", found, want)
		}
	}
	return nil
}

func fencesTheOlder(ctx context.Context) error {
	const topic = "g-fenced"
	if err := create(ctx, topic, 1); err != nil {
		return err
	}
	older, err := client(kgo.TransactionalID(topic))
	if err != nil {
		return err
	}
	defer older.Close()
	if err := older.BeginTransaction(); err != nil {
		return err
	}
	if err := older.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("zombie")}).FirstErr(); err != nil {
		return err
	}
	newer, err := client(kgo.TransactionalID(topic))
	if err != nil {
		return err
	}
	defer newer.Close()
	if err := inTransaction(ctx, newer, topic, "newer", kgo.TryCommit); err != nil {
		return err
	}
	err = older.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("zombie")}).FirstErr()
	if err == nil {
		err = older.EndTransaction(ctx, kgo.TryCommit)
	}
	if !errors.Is(err, kerr.ProducerFenced) && !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.InvalidTxnState) {
		return fmt.Errorf("the older producer is not fenced: %v", err)
	}
	values, err := committed(ctx, topic, kgo.ReadCommitted())
	if found := fmt.Sprint(values); err != nil || found != "[newer]" {
		return fmt.Errorf("read %s, %v", found, err)
	}
	return nil
}

// Two sessions of one group copy a topic. Each transaction of the first may abort; the first is left in the middle of one.
func sessionsCopyExactlyOnce(ctx context.Context) error {
	const from, to, count = "g-source", "g-target", 3000
	for _, topic := range []string{from, to} {
		if err := create(ctx, topic, 4); err != nil {
			return err
		}
	}
	if err := produce(ctx, from, 0, count); err != nil {
		return err
	}
	var copied atomic.Int64
	session := func(id string) (*kgo.GroupTransactSession, error) {
		return kgo.NewGroupTransactSession(kgo.SeedBrokers(address), kgo.TransactionalID(id), kgo.ConsumerGroup("g-copiers"),
			kgo.ConsumeTopics(from), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxPartitionBytes(2000))
	}
	// Copies until `stop` says so of the number of the transaction.
	work := func(s *kgo.GroupTransactSession, aborts func(int) bool, stop func(int) bool) error {
		for turn := 0; ; turn++ {
			limited, cancel := context.WithCancel(ctx)
			watch := make(chan struct{})
			go func() { // another may have copied the rest
				defer close(watch)
				_ = until(limited, "", func() bool { return copied.Load() >= count })
				cancel()
			}()
			fetches := s.PollRecords(limited, 100)
			cancel()
			<-watch
			if fetches.NumRecords() == 0 {
				if copied.Load() >= count || ctx.Err() != nil {
					return ctx.Err()
				}
				continue
			}
			if err := s.Begin(); err != nil {
				return err
			}
			fetches.EachRecord(func(r *kgo.Record) { s.Produce(ctx, &kgo.Record{Topic: to, Key: r.Key, Value: r.Value}, nil) })
			if err := s.Client().Flush(ctx); err != nil {
				return err
			}
			if stop(turn) {
				return nil
			}
			done, err := s.End(ctx, kgo.TransactionEndTry(!aborts(turn)))
			if err != nil {
				return err
			}
			if done {
				copied.Add(int64(fetches.NumRecords()))
			}
		}
	}
	never := func(int) bool { return false }
	first, err := session("g-copier-1")
	if err != nil {
		return err
	}
	defer first.Close()
	second, err := session("g-copier-2")
	if err != nil {
		return err
	}
	defer second.Close()
	failed := make(chan error, 1)
	go func() { failed <- work(second, never, never) }()
	if err := work(first, func(turn int) bool { return turn%3 == 1 }, func(turn int) bool { return turn >= 5 }); err != nil {
		return fmt.Errorf("the first session: %w", err)
	}
	first.Client().CloseAllowingRebalance()
	// The first left its transaction open. Its next incarnation aborts that.
	again, err := session("g-copier-1")
	if err != nil {
		return err
	}
	defer again.Close()
	if err := work(again, never, never); err != nil {
		return fmt.Errorf("the first session again: %w", err)
	}
	if err := <-failed; err != nil {
		return fmt.Errorf("the second session: %w", err)
	}
	values, err := committed(ctx, to, kgo.ReadCommitted())
	if err != nil {
		return err
	}
	seen := map[string]int{}
	for _, value := range values {
		seen[value]++
	}
	if len(values) != count || len(seen) != count {
		return fmt.Errorf("%d records of %d different were copied for %d", len(values), len(seen), count)
	}
	return nil
}
