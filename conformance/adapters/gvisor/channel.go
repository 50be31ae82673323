// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"
)

const (
	descriptor  = 3
	longestLine = 1 << 18
)

// message is a line of the tester: the beginning, a frame or a request.
type message struct {
	Configure *configuration  `json:"configure"`
	Frame     *octets         `json:"frame"`
	ID        *int64          `json:"id"`
	Do        string          `json:"do"`
	Socket    int64           `json:"socket"`
	As        int64           `json:"as"`
	Call      int64           `json:"call"`
	Local     endpointAddress `json:"local"`
	Remote    endpointAddress `json:"remote"`
	Backlog   int             `json:"backlog"`
	Data      octets          `json:"data"`
	Count     int             `json:"count"`
	Urgent    bool            `json:"urgent"`
	Wait      *bool           `json:"wait"`
	How       string          `json:"how"`
	Name      string          `json:"name"`
	Value     optionValue     `json:"value"`
	To        *int64          `json:"to"`
	In        *int64          `json:"in"`
}

// octets are hexadecimal text in JSON.
type octets []byte

// UnmarshalJSON implements json.Unmarshaler.
func (o *octets) UnmarshalJSON(text []byte) error {
	if len(text) < 2 || text[0] != '"' {
		return errors.New("octets that are no text")
	}
	*o = make([]byte, (len(text)-2)/2)
	_, err := hex.Decode(*o, text[1:len(text)-1])
	return err
}

// MarshalJSON implements json.Marshaler.
func (o octets) MarshalJSON() ([]byte, error) {
	text := make([]byte, 2+hex.EncodedLen(len(o)))
	hex.Encode(text[1:], o)
	text[0], text[len(text)-1] = '"', '"'
	return text, nil
}

// endpointAddress is [address, port] in JSON.
type endpointAddress struct {
	tcpip.FullAddress
	protocol tcpip.NetworkProtocolNumber
}

// UnmarshalJSON implements json.Unmarshaler.
func (a *endpointAddress) UnmarshalJSON(text []byte) error {
	var name string
	if err := json.Unmarshal(text, &[]any{&name, &a.Port}); err != nil {
		return err
	}
	if a.Addr, a.protocol = address(net.ParseIP(name)); a.protocol == 0 {
		return fmt.Errorf("%q is no address", name)
	}
	return nil
}

// optionValue is an integer or several in JSON.
type optionValue []int

// UnmarshalJSON implements json.Unmarshaler.
func (v *optionValue) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, (*[]int)(v))
	}
	*v = make([]int, 1)
	return json.Unmarshal(text, &(*v)[0])
}

// channel is the connection to the tester. What is written leaves before the agent waits for more.
type channel struct {
	in *bufio.Reader

	mu  sync.Mutex // the stack's goroutines write frames
	out []byte
}

func newChannel() *channel {
	c := &channel{}
	c.in = bufio.NewReaderSize(c, longestLine+1)
	return c
}

// next is the next line that is JSON; io.EOF at the end.
//
// Where the JSON is not what the protocol asks for, the message has what could be read, and bad is true.
func (c *channel) next() (said *message, bad bool, err error) {
	for {
		line, err := c.in.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) { // longer than any line may be
			line = nil
			_, err = c.in.ReadSlice('\n')
		}
		if err != nil {
			return nil, false, io.EOF
		}
		said := &message{}
		if err := json.Unmarshal(line, said); err == nil {
			return said, false, nil
		}
		only := struct {
			ID *int64 `json:"id"`
		}{}
		if json.Unmarshal(line, &only) == nil && only.ID != nil {
			return &message{ID: only.ID}, true, nil
		}
	}
}

// Read implements io.Reader for the lines of the tester.
func (c *channel) Read(p []byte) (int, error) {
	c.flush()
	for {
		n, err := syscall.Read(descriptor, p)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return 0, io.EOF
		}
		return n, nil
	}
}

func (c *channel) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for rest := c.out; len(rest) > 0; {
		n, err := syscall.Write(descriptor, rest)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			os.Exit(0) // the tester has gone
		}
		rest = rest[n:]
	}
	c.out = c.out[:0]
}

// frame says what the stack sent.
func (c *channel) frame(frame []byte, at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, `{"frame":"`...)
	begin := len(c.out)
	c.out = append(c.out, make([]byte, hex.EncodedLen(len(frame)))...)
	hex.Encode(c.out[begin:], frame)
	c.out = append(c.out, `","at":`...)
	c.out = strconv.AppendInt(c.out, at, 10)
	c.out = append(c.out, "}\n"...)
}

// say writes a line.
func (c *channel) say(value any) {
	line, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(append(c.out, line...), '\n')
}

// answer says how a request ended, or that it waits.
func (c *channel) answer(id int64, o outcome) {
	switch {
	case o.waits:
		c.say(struct {
			ID      int64 `json:"id"`
			Pending bool  `json:"pending"`
		}{id, true})
	case o.errno != 0:
		c.say(struct {
			ID    int64  `json:"id"`
			Error string `json:"error"`
		}{id, errnoName(o.errno)})
	default:
		c.say(struct {
			ID int64 `json:"id"`
			OK any   `json:"ok"`
		}{id, o.value})
	}
}
