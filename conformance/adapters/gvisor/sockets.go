// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"net"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// outcome is how a call ended: by a value, by an error's name; or it waits, and is tried again by retry.
type outcome struct {
	value any
	errno syscall.Errno
	waits bool
	retry func() outcome
}

func failed(err tcpip.Error) outcome { return outcome{errno: errnoOf(err)} }

func done(value any, err tcpip.Error) outcome {
	if err != nil {
		return failed(err)
	}
	return outcome{value: value}
}

// socket is an application's socket.
type socket struct {
	tcpip.Endpoint
	local, remote tcpip.FullAddress
	protocol      tcpip.NetworkProtocolNumber
	bound         bool
}

// call is one that waits.
type call struct {
	id    int64
	of    *socket
	retry func() outcome
}

// sockets are those of the tester, by its numbers, and the calls on them that wait, in their order.
type sockets struct {
	network *network
	open    map[int64]*socket
	waiting []call
}

// request does a verb. What waits is to be kept by wait.
func (s *sockets) request(r *message) outcome {
	switch r.Do {
	case "open":
		return s.create(r)
	case "state":
		return outcome{value: s.state(&r.Local, &r.Remote)}
	case "cancel":
		s.drop(func(c *call) bool { return c.id == r.Call })
		return outcome{}
	case "dispose":
		s.dispose(r.Socket)
		return outcome{}
	}
	verb := verbs[r.Do]
	if verb == nil {
		return outcome{errno: syscall.ENOSYS}
	}
	own := s.open[r.Socket]
	if own == nil {
		return outcome{errno: syscall.EBADF}
	}
	return verb(s, own, r)
}

// wait keeps a call that waits.
func (s *sockets) wait(r *message, o outcome) {
	if own := s.open[r.Socket]; own != nil {
		s.waiting = append(s.waiting, call{*r.ID, own, o.retry})
	}
}

// verbs are those that need a socket.
var verbs = map[string]func(*sockets, *socket, *message) outcome{
	"listen":     (*sockets).listen,
	"accept":     (*sockets).accept,
	"connect":    (*sockets).connect,
	"send":       (*sockets).send,
	"recv":       (*sockets).recv,
	"shutdown":   (*sockets).shutdown,
	"close":      (*sockets).close,
	"abort":      (*sockets).abort,
	"exit":       (*sockets).close, // what gVisor's kernel does for a process that ends
	"setsockopt": (*sockets).setsockopt,
	"getsockopt": (*sockets).getsockopt,
	"poll":       (*sockets).poll,
}

// retry tries the calls that wait; told is called for each that has ended.
func (s *sockets) retry(told func(id int64, o outcome)) (any bool) {
	waiting := s.waiting
	s.waiting = nil
	for _, c := range waiting {
		o := c.retry()
		if o.waits {
			s.waiting = append(s.waiting, call{c.id, c.of, o.retry})
			continue
		}
		any = true
		told(c.id, o)
	}
	return any
}

func (s *sockets) drop(which func(*call) bool) {
	kept := s.waiting[:0]
	for _, c := range s.waiting {
		if !which(&c) {
			kept = append(kept, c)
		}
	}
	s.waiting = kept
}

func (s *sockets) create(r *message) outcome {
	if s.open[r.Socket] != nil || r.Local.protocol == 0 || r.Remote.protocol != r.Local.protocol {
		return outcome{errno: syscall.EINVAL}
	}
	endpoint, err := s.network.NewEndpoint(tcp.ProtocolNumber, r.Local.protocol, &waiter.Queue{})
	if err != nil {
		return failed(err)
	}
	endpoint.SocketOptions().SetReuseAddress(true)
	s.open[r.Socket] = &socket{
		Endpoint: endpoint, local: r.Local.FullAddress, remote: r.Remote.FullAddress, protocol: r.Local.protocol,
	}
	return outcome{}
}

func (own *socket) bind() tcpip.Error {
	if own.bound {
		return nil
	}
	err := own.Bind(own.local)
	own.bound = err == nil
	return err
}

func (s *sockets) listen(own *socket, r *message) outcome {
	if err := own.bind(); err != nil {
		return failed(err)
	}
	return done(nil, own.Listen(r.Backlog+1)) // the stack counts one more than listen(2) does
}

func (s *sockets) accept(own *socket, r *message) outcome {
	if s.open[r.As] != nil {
		return outcome{errno: syscall.EINVAL}
	}
	return s.take(own, r.As)
}

func (s *sockets) take(listener *socket, as int64) outcome {
	var peer tcpip.FullAddress
	endpoint, _, err := listener.Accept(&peer)
	if _, ok := err.(*tcpip.ErrWouldBlock); ok {
		return outcome{waits: true, retry: func() outcome { return s.take(listener, as) }}
	}
	if err != nil {
		return failed(err)
	}
	s.open[as] = &socket{Endpoint: endpoint, local: listener.local, remote: peer, bound: true}
	return outcome{value: []any{net.IP(peer.Addr).String(), peer.Port}}
}

func (s *sockets) connect(own *socket, _ *message) outcome {
	if err := own.bind(); err != nil {
		return failed(err)
	}
	err := own.Connect(own.remote)
	if _, ok := err.(*tcpip.ErrConnectStarted); ok {
		return outcome{waits: true, retry: func() outcome { return s.connecting(own) }}
	}
	return done(nil, err)
}

func (s *sockets) connecting(own *socket) outcome {
	err := own.Connect(own.remote)
	if _, ok := err.(*tcpip.ErrAlreadyConnecting); ok {
		return outcome{waits: true, retry: func() outcome { return s.connecting(own) }}
	}
	if err != nil { // an endpoint that failed does not connect again: another try of the application takes a new one
		if fresh, problem := s.network.NewEndpoint(tcp.ProtocolNumber, own.protocol, &waiter.Queue{}); problem == nil {
			own.Close()
			fresh.SocketOptions().SetReuseAddress(true)
			own.Endpoint, own.bound = fresh, false
		}
	}
	return done(nil, err)
}

func (s *sockets) send(own *socket, r *message) outcome {
	if r.Urgent {
		return outcome{errno: syscall.EOPNOTSUPP}
	}
	return own.write(bytes.NewReader(r.Data), r.Wait == nil || *r.Wait)
}

func (own *socket) write(data *bytes.Reader, wait bool) outcome {
	for {
		_, err := own.Write(data, tcpip.WriteOptions{})
		taken := data.Size() - int64(data.Len())
		if _, ok := err.(*tcpip.ErrWouldBlock); ok {
			if wait {
				return outcome{waits: true, retry: func() outcome { return own.write(data, true) }}
			}
			if taken > 0 {
				return outcome{value: taken}
			}
		}
		if err != nil || data.Len() == 0 {
			return done(taken, err)
		}
	}
}

func (s *sockets) recv(own *socket, r *message) outcome {
	if r.Urgent || r.Count < 1 {
		return outcome{errno: syscall.EINVAL}
	}
	o := own.read(r.Count)
	if o.waits && r.Wait != nil && !*r.Wait {
		return outcome{errno: syscall.EAGAIN}
	}
	return o
}

func (own *socket) read(count int) outcome {
	var data bytes.Buffer
	if count > 65535 { // a line holds no more
		count = 65535
	}
	_, err := own.Read(&tcpip.LimitedWriter{W: &data, N: int64(count)}, tcpip.ReadOptions{})
	switch err.(type) {
	case nil:
		own.ModerateRecvBuf(data.Len())
		return outcome{value: octets(data.Bytes())}
	case *tcpip.ErrWouldBlock:
		return outcome{waits: true, retry: func() outcome { return own.read(count) }}
	case *tcpip.ErrClosedForReceive:
		return outcome{value: ""}
	}
	return failed(err)
}

func (s *sockets) shutdown(own *socket, r *message) outcome {
	flags, known := map[string]tcpip.ShutdownFlags{
		"rd": tcpip.ShutdownRead, "wr": tcpip.ShutdownWrite, "rdwr": tcpip.ShutdownRead | tcpip.ShutdownWrite,
	}[r.How]
	if !known {
		return outcome{errno: syscall.EINVAL}
	}
	return done(nil, own.Shutdown(flags))
}

func (s *sockets) close(own *socket, r *message) outcome {
	delete(s.open, r.Socket)
	own.Close()
	return outcome{}
}

func (s *sockets) abort(own *socket, r *message) outcome {
	delete(s.open, r.Socket)
	own.Abort()
	own.Close()
	return outcome{}
}

// dispose frees a socket; nobody waits for its calls any more.
func (s *sockets) dispose(number int64) {
	own := s.open[number]
	if own == nil {
		return
	}
	delete(s.open, number)
	s.drop(func(c *call) bool { return c.of == own })
	own.SocketOptions().SetLinger(tcpip.LingerOption{})
	own.Abort()
	own.Close()
}

func (s *sockets) poll(own *socket, _ *message) outcome {
	ready := []string{}
	for _, event := range []struct {
		mask waiter.EventMask
		name string
	}{
		{waiter.EventIn, "IN"}, {waiter.EventOut, "OUT"}, {waiter.EventPri, "PRI"},
		{waiter.EventErr, "ERR"}, {waiter.EventHUp, "HUP"},
	} {
		if own.Readiness(event.mask)&event.mask != 0 {
			ready = append(ready, event.name)
		}
	}
	return outcome{value: ready}
}

var states = map[tcp.EndpointState]string{
	tcp.StateListen:      "LISTEN",
	tcp.StateSynSent:     "SYN-SENT",
	tcp.StateSynRecv:     "SYN-RECEIVED",
	tcp.StateEstablished: "ESTABLISHED",
	tcp.StateFinWait1:    "FIN-WAIT-1",
	tcp.StateFinWait2:    "FIN-WAIT-2",
	tcp.StateCloseWait:   "CLOSE-WAIT",
	tcp.StateClosing:     "CLOSING",
	tcp.StateLastAck:     "LAST-ACK",
	tcp.StateTimeWait:    "TIME-WAIT",
}

// state is that of the connection, or listener, to which the stack would give a segment of this pair.
func (s *sockets) state(local, remote *endpointAddress) string {
	found := s.network.FindTransportEndpoint(local.protocol, tcp.ProtocolNumber, stack.TransportEndpointID{
		LocalAddress: local.Addr, LocalPort: local.Port, RemoteAddress: remote.Addr, RemotePort: remote.Port,
	}, device)
	if endpoint, ok := found.(tcpip.Endpoint); ok {
		if name := states[tcp.EndpointState(endpoint.State())]; name != "" {
			return name
		}
	}
	return "CLOSED"
}
