package registry

import (
	"container/list"
	"sync"
	"time"
)

// cache keeps a bounded number of origins, dropping what was not asked for the
// longest time.
type cache struct {
	mu    sync.Mutex
	size  int
	order *list.List // of *entry, most recently used first
	byKey map[string]*list.Element
}

type entry struct {
	key   string
	value origin
	until time.Time // zero: for ever
}

func newCache(size int) *cache {
	return &cache{size: size, order: list.New(), byKey: map[string]*list.Element{}}
}

func (c *cache) get(key string, now time.Time) (origin, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.byKey[key]
	if !ok {
		return origin{}, false
	}
	e := el.Value.(*entry)
	if !e.until.IsZero() && !now.Before(e.until) {
		c.order.Remove(el)
		delete(c.byKey, key)
		return origin{}, false
	}
	c.order.MoveToFront(el)
	return e.value, true
}

func (c *cache) put(key string, value origin, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.byKey[key]; ok {
		el.Value = &entry{key, value, until}
		c.order.MoveToFront(el)
		return
	}
	c.byKey[key] = c.order.PushFront(&entry{key, value, until})
	for c.order.Len() > c.size {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.byKey, last.Value.(*entry).key)
	}
}
