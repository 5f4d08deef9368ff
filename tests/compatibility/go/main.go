// Cases on franz-go, whose protocol code is its own: clients HOST:PORT. One line for each, as cases.verdict_lines reads.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	address string
	admin   *kadm.Client
)

type check func(ctx context.Context) error

func client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address)}, options...)...)
}

func create(ctx context.Context, topic string, partitions int32) error {
	_, err := admin.CreateTopic(ctx, partitions, 1, nil, topic)
	return err
}

func produce(ctx context.Context, topic string, from, count int, options ...kgo.Opt) error {
	producer, err := client(options...)
	if err != nil {
		return err
	}
	defer producer.Close()
	records := make([]*kgo.Record, 0, count)
	for i := from; i < from+count; i++ {
		records = append(records, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "v%d", i)})
	}
	return producer.ProduceSync(ctx, records...).FirstErr()
}

// One member of a group: what it owns, and what it read.
type member struct {
	*kgo.Client
	mu     sync.Mutex
	owned  map[int32]bool
	losses int
	values []string
	done   chan struct{}
}

func join(group, topic string, options ...kgo.Opt) (*member, error) {
	m := &member{owned: map[int32]bool{}, done: make(chan struct{})}
	gone := func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, partition := range lost[topic] {
			delete(m.owned, partition)
			m.losses++
		}
	}
	options = append(options, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(300*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) {
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, partition := range added[topic] {
				m.owned[partition] = true
			}
		}), kgo.OnPartitionsRevoked(gone), kgo.OnPartitionsLost(gone))
	var err error
	if m.Client, err = client(options...); err != nil {
		return nil, err
	}
	go func() {
		defer close(m.done)
		for {
			fetches := m.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			m.mu.Lock()
			fetches.EachRecord(func(r *kgo.Record) { m.values = append(m.values, string(r.Value)) })
			m.mu.Unlock()
		}
	}()
	return m, nil
}

func (m *member) leave() {
	_ = m.CommitUncommittedOffsets(context.Background())
	m.Close()
	<-m.done
}

func (m *member) count() (owned, losses, read int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.owned), m.losses, len(m.values)
}

func until(ctx context.Context, what string, condition func() bool) error {
	for !condition() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not happen in time", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

func returnsWhatWasProduced(codec kgo.CompressionCodec, topic string) check {
	return func(ctx context.Context) error {
		if err := create(ctx, topic, 1); err != nil {
			return err
		}
		if err := produce(ctx, topic, 0, 1000, kgo.ProducerBatchCompression(codec)); err != nil {
			return err
		}
		m, err := join(topic+"-readers", topic)
		if err != nil {
			return err
		}
		defer m.leave()
		if err := until(ctx, "reading all", func() bool { _, _, read := m.count(); return read == 1000 }); err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		for i, value := range m.values {
			if value != fmt.Sprintf("v%d", i) {
				return fmt.Errorf("record %d is %q", i, value)
			}
		}
		return nil
	}
}

// Cooperative: a member that keeps partitions never gives those up.
func membersShareCooperatively(ctx context.Context) error {
	const topic = "g-shared"
	if err := create(ctx, topic, 6); err != nil {
		return err
	}
	sticky := kgo.Balancers(kgo.CooperativeStickyBalancer())
	first, err := join("g-pair", topic, sticky)
	if err != nil {
		return err
	}
	defer first.leave()
	owns := func(m *member, want int) func() bool {
		return func() bool { owned, _, _ := m.count(); return owned == want }
	}
	if err := until(ctx, "all partitions for the first", owns(first, 6)); err != nil {
		return err
	}
	second, err := join("g-pair", topic, sticky)
	if err != nil {
		return err
	}
	if err := until(ctx, "three partitions each", func() bool { return owns(first, 3)() && owns(second, 3)() }); err != nil {
		return err
	}
	if _, losses, _ := first.count(); losses != 3 {
		return fmt.Errorf("the first member gave up %d partitions for 3", losses)
	}
	second.leave()
	return until(ctx, "all partitions for the one that stays", owns(first, 6))
}

func aStaticMemberComesBack(ctx context.Context) error {
	const topic = "g-static"
	if err := create(ctx, topic, 4); err != nil {
		return err
	}
	options := func(id string) []kgo.Opt { return []kgo.Opt{kgo.InstanceID(id), kgo.Balancers(kgo.RangeBalancer())} }
	stays, err := join("g-statics", topic, options("a")...)
	if err != nil {
		return err
	}
	defer stays.leave()
	goes, err := join("g-statics", topic, options("b")...)
	if err != nil {
		return err
	}
	if err := until(ctx, "two partitions each", func() bool {
		x, _, _ := stays.count()
		y, _, _ := goes.count()
		return x == 2 && y == 2
	}); err != nil {
		return err
	}
	_, before, _ := stays.count()
	goes.leave()
	back, err := join("g-statics", topic, options("b")...)
	if err != nil {
		return err
	}
	defer back.leave()
	if err := until(ctx, "its two partitions again", func() bool { owned, _, _ := back.count(); return owned == 2 }); err != nil {
		return err
	}
	if _, after, _ := stays.count(); after != before {
		return fmt.Errorf("the other member saw a rebalance")
	}
	return nil
}

func aGroupGoesOnAndIsAdministered(ctx context.Context) error {
	const topic, group = "g-resumed", "g-resumed"
	if err := create(ctx, topic, 1); err != nil {
		return err
	}
	for _, count := range []int{10, 5} {
		if err := produce(ctx, topic, 0, count); err != nil {
			return err
		}
		m, err := join(group, topic)
		if err != nil {
			return err
		}
		err = until(ctx, "reading what is new", func() bool { _, _, read := m.count(); return read >= count })
		_, _, read := m.count()
		m.leave()
		if err != nil {
			return err
		}
		if read != count {
			return fmt.Errorf("%d records were read for %d", read, count)
		}
	}
	lags, err := admin.Lag(ctx, group)
	if err != nil {
		return err
	}
	lag := lags[group]
	if err := lag.Error(); err != nil || lag.Lag.Total() != 0 || lag.State != "Empty" {
		return fmt.Errorf("lag %d, state %s, error %v", lag.Lag.Total(), lag.State, err)
	}
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 0, 4, -1)
	if err := admin.CommitAllOffsets(ctx, group, offsets); err != nil {
		return err
	}
	if lags, _ = admin.Lag(ctx, group); lags[group].Lag.Total() != 11 {
		return fmt.Errorf("lag is %d after a commit of 4 of 15", lags[group].Lag.Total())
	}
	if _, err := admin.DeleteGroup(ctx, group); err != nil {
		return err
	}
	listed, err := admin.ListGroups(ctx)
	if _, there := listed[group]; there || err != nil {
		return fmt.Errorf("the group is still listed, or %v", err)
	}
	return nil
}

func main() {
	address = os.Args[1]
	connection, err := client()
	if err != nil {
		fmt.Println("FAILED\tconnect\t", err)
		return
	}
	admin = kadm.NewClient(connection)
	cases := []struct {
		name string
		run  check
	}{
		{"returns what was produced (plain)", returnsWhatWasProduced(kgo.NoCompression(), "g-plain")},
		{"returns what was produced (zstd)", returnsWhatWasProduced(kgo.ZstdCompression(), "g-zstd")},
		{"returns what was produced (snappy)", returnsWhatWasProduced(kgo.SnappyCompression(), "g-snappy")},
		{"returns what was produced (lz4)", returnsWhatWasProduced(kgo.Lz4Compression(), "g-lz4")},
		{"members share cooperatively, and one takes over", membersShareCooperatively},
		{"a static member comes back without a rebalance", aStaticMemberComesBack},
		{"a group goes on where it committed, is reset and deleted", aGroupGoesOnAndIsAdministered},
		{"transactions commit and abort", commitsAndAborts},
		{"a newer transactional producer fences the older", fencesTheOlder},
		{"transactional sessions of a group copy exactly once", sessionsCopyExactlyOnce},
	}
	for _, one := range cases {
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		if err := one.run(ctx); err != nil {
			fmt.Printf("FAILED\t%s\t%s\n", one.name, strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Printf("PASSED\t%s\n", one.name)
		}
		cancel()
	}
}
