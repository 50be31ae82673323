// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
)

// flags are options that are on or off.
var flags = map[string]struct {
	get func(*tcpip.SocketOptions) bool
	set func(*tcpip.SocketOptions, bool)
}{
	"TCP_NODELAY": {
		func(o *tcpip.SocketOptions) bool { return !o.GetDelayOption() },
		func(o *tcpip.SocketOptions, on bool) { o.SetDelayOption(!on) },
	},
	"TCP_CORK":     {(*tcpip.SocketOptions).GetCorkOption, (*tcpip.SocketOptions).SetCorkOption},
	"TCP_QUICKACK": {(*tcpip.SocketOptions).GetQuickAck, (*tcpip.SocketOptions).SetQuickAck},
	"SO_KEEPALIVE": {(*tcpip.SocketOptions).GetKeepAlive, (*tcpip.SocketOptions).SetKeepAlive},
	"SO_REUSEADDR": {(*tcpip.SocketOptions).GetReuseAddress, (*tcpip.SocketOptions).SetReuseAddress},
	"SO_OOBINLINE": {(*tcpip.SocketOptions).GetOutOfBandInline, (*tcpip.SocketOptions).SetOutOfBandInline},
	"SO_REUSEPORT": {(*tcpip.SocketOptions).GetReusePort, (*tcpip.SocketOptions).SetReusePort},
}

// numbers are options that the stack has as integers.
var numbers = map[string]tcpip.SockOptInt{
	"TCP_MAXSEG":        tcpip.MaxSegOption,
	"TCP_KEEPCNT":       tcpip.KeepaliveCountOption,
	"TCP_SYNCNT":        tcpip.TCPSynCountOption,
	"TCP_WINDOW_CLAMP":  tcpip.TCPWindowClampOption,
	"IP_TTL":            tcpip.IPv4TTLOption,
	"IP_TOS":            tcpip.IPv4TOSOption,
	"IPV6_UNICAST_HOPS": tcpip.IPv6HopLimitOption,
	"IPV6_TCLASS":       tcpip.IPv6TrafficClassOption,
}

// duration is an option that is a time: its unit in the C headers, and its way into the stack and out of it.
type duration struct {
	unit time.Duration
	set  func(tcpip.Endpoint, time.Duration) tcpip.Error
	get  func(tcpip.Endpoint) (time.Duration, tcpip.Error)
}

var durations = map[string]duration{
	"TCP_KEEPIDLE": {
		time.Second,
		func(e tcpip.Endpoint, d time.Duration) tcpip.Error {
			option := tcpip.KeepaliveIdleOption(d)
			return e.SetSockOpt(&option)
		},
		func(e tcpip.Endpoint) (time.Duration, tcpip.Error) {
			var option tcpip.KeepaliveIdleOption
			err := e.GetSockOpt(&option)
			return time.Duration(option), err
		},
	},
	"TCP_KEEPINTVL": {
		time.Second,
		func(e tcpip.Endpoint, d time.Duration) tcpip.Error {
			option := tcpip.KeepaliveIntervalOption(d)
			return e.SetSockOpt(&option)
		},
		func(e tcpip.Endpoint) (time.Duration, tcpip.Error) {
			var option tcpip.KeepaliveIntervalOption
			err := e.GetSockOpt(&option)
			return time.Duration(option), err
		},
	},
	"TCP_USER_TIMEOUT": {
		time.Millisecond,
		func(e tcpip.Endpoint, d time.Duration) tcpip.Error {
			option := tcpip.TCPUserTimeoutOption(d)
			return e.SetSockOpt(&option)
		},
		func(e tcpip.Endpoint) (time.Duration, tcpip.Error) {
			var option tcpip.TCPUserTimeoutOption
			err := e.GetSockOpt(&option)
			return time.Duration(option), err
		},
	},
	"TCP_LINGER2": {
		time.Second,
		func(e tcpip.Endpoint, d time.Duration) tcpip.Error {
			option := tcpip.TCPLingerTimeoutOption(d)
			return e.SetSockOpt(&option)
		},
		func(e tcpip.Endpoint) (time.Duration, tcpip.Error) {
			var option tcpip.TCPLingerTimeoutOption
			err := e.GetSockOpt(&option)
			return time.Duration(option), err
		},
	},
	"TCP_DEFER_ACCEPT": {
		time.Second,
		func(e tcpip.Endpoint, d time.Duration) tcpip.Error {
			option := tcpip.TCPDeferAcceptOption(d)
			return e.SetSockOpt(&option)
		},
		func(e tcpip.Endpoint) (time.Duration, tcpip.Error) {
			var option tcpip.TCPDeferAcceptOption
			err := e.GetSockOpt(&option)
			return time.Duration(option), err
		},
	},
}

// most is the greatest value of options of which gVisor's kernel takes 1 at least.
var most = map[string]int{"TCP_KEEPIDLE": 32767, "TCP_KEEPINTVL": 32767, "TCP_KEEPCNT": 127}

func (s *sockets) setsockopt(own *socket, r *message) outcome {
	if len(r.Value) == 0 {
		return outcome{errno: syscall.EINVAL}
	}
	options, value := own.SocketOptions(), r.Value[0]
	if most, known := most[r.Name]; known && (value < 1 || value > most) {
		return outcome{errno: syscall.EINVAL}
	}
	if flag, known := flags[r.Name]; known {
		flag.set(options, value != 0)
		return outcome{}
	}
	if number, known := numbers[r.Name]; known {
		return done(nil, own.SetSockOptInt(number, value))
	}
	if time, known := durations[r.Name]; known {
		if value < 0 && r.Name != "TCP_LINGER2" || value > math.MaxInt32 {
			return outcome{errno: syscall.EINVAL}
		}
		return done(nil, time.set(own.Endpoint, time.unit*timeOf(value)))
	}
	switch r.Name {
	case "SO_LINGER":
		if len(r.Value) != 2 || r.Value[1] < 0 || r.Value[1] > math.MaxInt32 {
			return outcome{errno: syscall.EINVAL}
		}
		options.SetLinger(tcpip.LingerOption{Enabled: value != 0, Timeout: time.Second * timeOf(r.Value[1])})
	case "SO_RCVBUF":
		least, most := options.ReceiveBufferLimits()
		options.SetReceiveBufferSize(doubled(value, least, most), true)
	case "SO_SNDBUF":
		least, most := options.SendBufferLimits()
		options.SetSendBufferSize(doubled(value, least, most), true)
	default:
		return outcome{errno: syscall.ENOPROTOOPT}
	}
	return outcome{}
}

func timeOf(n int) time.Duration { return time.Duration(n) }

// doubled is a buffer's size as gVisor's kernel takes it from an application: as Linux does, with room for overhead.
func doubled(size int, least, most int64) int64 {
	wanted := int64(size)
	if wanted > most {
		wanted = most
	}
	if wanted *= 2; wanted < least {
		wanted = least
	}
	return wanted
}

func (s *sockets) getsockopt(own *socket, r *message) outcome {
	options := own.SocketOptions()
	if flag, known := flags[r.Name]; known {
		if flag.get(options) {
			return outcome{value: 1}
		}
		return outcome{value: 0}
	}
	if number, known := numbers[r.Name]; known {
		value, err := own.GetSockOptInt(number)
		return done(value, err)
	}
	if time, known := durations[r.Name]; known {
		value, err := time.get(own.Endpoint)
		return done(int64(value/time.unit), err)
	}
	switch r.Name {
	case "SO_LINGER":
		if linger := options.GetLinger(); linger.Enabled {
			return outcome{value: int64(linger.Timeout / time.Second)}
		}
		return outcome{value: -1}
	case "SO_RCVBUF":
		return outcome{value: options.GetReceiveBufferSize()}
	case "SO_SNDBUF":
		return outcome{value: options.GetSendBufferSize()}
	case "SO_ERROR":
		if err := own.LastError(); err != nil {
			return outcome{value: int(errnoOf(err))}
		}
		return outcome{value: 0}
	}
	return outcome{errno: syscall.ENOPROTOOPT}
}
