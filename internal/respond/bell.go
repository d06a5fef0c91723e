package respond

import (
	"context"
	"database/sql"
	"time"

	"github.com/riverqueue/river/riverdriver"
)

// bell wakes River when a transaction has left it work. SQLite cannot notify,
// and River's stand-in asks the database twenty times a second; but whoever
// enqueues here is of the same process and can ring when it has committed, on
// PostgreSQL too. A ring that is missed costs a second, River's own interval of
// asking.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default: // it rings already
	}
}

// ringAfter rings when a job that was put off for d is due.
func (b bell) ringAfter(d time.Duration) {
	time.AfterFunc(d+time.Millisecond, b.ring) // River keeps times in milliseconds
}

// driver is River's for the database with the bell for its listener.
type driver struct {
	riverdriver.Driver[*sql.Tx]
	bell  bell
	queue string
}

// GetListener answers with the bell.
func (d driver) GetListener(params *riverdriver.GetListenenerParams) riverdriver.Listener {
	return listener{bell: d.bell, schema: params.Schema, queue: d.queue}
}

// SupportsListener says that the bell can be heard.
func (driver) SupportsListener() bool { return true }

// SupportsListenNotify keeps River from writing notifications nobody reads.
func (driver) SupportsListenNotify() bool { return false }

// listener hears nothing but the bell, which always means new work.
type listener struct {
	bell          bell
	schema, queue string
}

func (listener) Close(context.Context) error            { return nil }
func (listener) Connect(context.Context) error          { return nil }
func (listener) Listen(context.Context, string) error   { return nil }
func (listener) Unlisten(context.Context, string) error { return nil }
func (listener) Ping(context.Context) error             { return nil }
func (listener) SetAfterConnectExec(string)             {}
func (l listener) Schema() string                       { return l.schema }

// WaitForNotification waits for a ring.
func (l listener) WaitForNotification(ctx context.Context) (*riverdriver.Notification, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.bell:
		return &riverdriver.Notification{Topic: "river_insert", Payload: `{"queue":"` + l.queue + `"}`}, nil
	}
}
