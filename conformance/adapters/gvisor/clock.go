// SPDX-License-Identifier: Apache-2.0

package main

import (
	"container/heap"
	"math"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// clock is the stack's time (tcpip.Clock). It stands still but for moveTo. Timers that are due run where the agent asks
// for them by due: in the order of their times, and of their settings where these are the same.
type clock struct {
	mu     sync.Mutex
	now    int64
	order  uint64
	timers timerHeap
}

// Now implements tcpip.Clock.
func (c *clock) Now() time.Time {
	return time.Unix(0, c.time())
}

// NowMonotonic implements tcpip.Clock.
func (c *clock) NowMonotonic() tcpip.MonotonicTime {
	return tcpip.MonotonicTime{}.Add(time.Duration(c.time()))
}

// AfterFunc implements tcpip.Clock.
func (c *clock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	t := &timer{clock: c, run: f, index: -1}
	t.Reset(d)
	return t
}

func (c *clock) time() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) moveTo(now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// next is when the next timer is due.
func (c *clock) next() (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.timers) == 0 {
		return 0, false
	}
	return c.timers[0].due, true
}

// due takes the next timer that is due now away and returns what it runs; nil when there is none.
func (c *clock) due() func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.timers) == 0 || c.timers[0].due > c.now {
		return nil
	}
	return heap.Pop(&c.timers).(*timer).run
}

// timer implements tcpip.Timer.
type timer struct {
	clock *clock
	run   func()
	due   int64
	order uint64
	index int // in the heap; -1: not running
}

// Stop implements tcpip.Timer.
func (t *timer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.stop()
}

func (t *timer) stop() bool {
	if t.index < 0 {
		return false
	}
	heap.Remove(&t.clock.timers, t.index)
	return true
}

// Reset implements tcpip.Timer.
func (t *timer) Reset(d time.Duration) {
	c := t.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	t.stop()
	if d < 0 {
		d = 0
	}
	t.due = c.now + int64(d)
	if t.due < c.now {
		t.due = math.MaxInt64
	}
	c.order++
	t.order = c.order
	heap.Push(&c.timers, t)
}

type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	if h[i].due != h[j].due {
		return h[i].due < h[j].due
	}
	return h[i].order < h[j].order
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
