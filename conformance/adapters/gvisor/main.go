// SPDX-License-Identifier: Apache-2.0

// An agent for gVisor's netstack (docs/adapters.md): the stack, its virtual time, frames by the channel.
package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// version is that of the stack's sources, told to the linker.
var version = "unknown"

// agent holds the stack and serves the tester.
type agent struct {
	said    *configuration
	profile string
	channel *channel
	network *network
	sockets *sockets
	in, out int64
	busy    bool // frames were sent or calls ended since the latest answer
}

func main() {
	runtime.GOMAXPROCS(1)       // one goroutine at a time, and so one order of things
	debug.SetTraceback("crash") // a stack that panics ends by a signal
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	a := &agent{channel: newChannel()}
	if len(os.Args) > 1 {
		a.profile = os.Args[1]
	}
	first, _, err := a.channel.next()
	if err != nil {
		return
	}
	if first.Configure == nil {
		fmt.Fprintln(os.Stderr, "the first line is no configure")
		os.Exit(1)
	}
	a.said = first.Configure
	a.begin()
	a.serve()
}

// begin makes a fresh stack and says hello.
func (a *agent) begin() {
	if a.network != nil {
		a.network.close()
	}
	var this *network
	this, err := newNetwork(a.said, a.profile, func(frame []byte) {
		if this != nil {
			a.out++
			a.busy = true
			a.channel.frame(frame, this.clock.time()-epoch)
		}
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	a.network = this
	a.sockets = &sockets{network: this, open: map[int64]*socket{}}
	a.settle()
	a.in, a.out, a.busy = 0, 0, false
	a.channel.say(map[string]any{"hello": a.hello()})
}

// serve takes the tester's lines until it goes.
func (a *agent) serve() {
	for {
		said, bad, err := a.channel.next()
		switch {
		case err != nil:
			return
		case bad:
			a.answer(*said.ID, outcome{errno: syscall.EPROTO})
		case said.Frame != nil:
			a.in++
			a.network.link.receive(*said.Frame)
			a.settle()
		case said.ID == nil:
		case said.Do == "advance":
			a.answer(*said.ID, a.advance(said))
		case said.Do == "reset":
			a.begin()
		default:
			o := a.sockets.request(said)
			a.settle()
			a.answer(*said.ID, o)
			if o.waits {
				a.sockets.wait(said, o)
			}
		}
	}
}

func (a *agent) answer(id int64, o outcome) {
	a.channel.answer(id, o)
	a.busy = false
}

// settle lets the stack do all that it can do now, and ends the calls that can end.
func (a *agent) settle() {
	a.network.run()
	for a.sockets.retry(func(id int64, o outcome) { a.channel.answer(id, o) }) {
		a.busy = true
		a.network.run()
	}
}

// advance lets time pass, from one moment of the stack's timers to the next, until there is something to tell.
func (a *agent) advance(said *message) outcome {
	if said.To == nil || said.In == nil || *said.In != a.in {
		return outcome{errno: syscall.EPROTO}
	}
	clock, to := a.network.clock, *said.To
	if to > math.MaxInt64-epoch {
		to = math.MaxInt64 - epoch
	}
	for a.settle(); !a.busy; a.settle() {
		next, any := clock.next()
		if !any || next > to+epoch {
			if to+epoch > clock.time() {
				clock.moveTo(to + epoch)
			}
			break
		}
		clock.moveTo(next)
	}
	reached := map[string]any{"now": clock.time() - epoch, "in": a.in, "out": a.out, "next": nil}
	if next, any := clock.next(); any {
		reached["next"] = next - epoch
	}
	return outcome{value: reached}
}

// hello is what the agent says of the stack.
func (a *agent) hello() map[string]any {
	names := make([]string, 0, len(verbs))
	for verb := range verbs {
		names = append(names, verb)
	}
	sort.Strings(names)
	interval := 0.5
	if strings.Contains(a.profile, "unthrottled") {
		interval = 0
	}
	return map[string]any{
		"protocol": 1, "stack": "gVisor netstack", "version": version, "clock": "virtual", "frames": "channel",
		"ip": []int{4, 6}, "verbs": names, "state": true, "reset": true, "ports": "exact", "quick_ack": true,
		"msl": (tcp.DefaultTCPTimeWaitTimeout / 2).Seconds(), "first_repeat": 1.5, "challenge_interval": interval, "throttles_text": true,
		"options": a.network.options(), "settings": a.network.settings(),
	}
}
