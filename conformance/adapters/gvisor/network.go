// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand"
	"net"
	"strings"
	"sync"
	"time"

	random "gvisor.dev/gvisor/pkg/rand"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

const device tcpip.NICID = 1

// epoch is the stack's time when the agent's is 0: the stack takes a time of 0 for "never".
const epoch = int64(time.Hour)

// configuration is what the tester says at the beginning.
type configuration struct {
	MAC       string   `json:"mac"`
	MTU       uint32   `json:"mtu"`
	Addresses []string `json:"addresses"`
	Gateways  []string `json:"gateways"`
	RouterMAC string   `json:"router_mac"`
	Seed      int64    `json:"seed"`
}

// network is the stack with its device and its time.
type network struct {
	*stack.Stack
	clock *clock
	link  *link
	tcp   stack.TransportProtocol
}

// newNetwork builds a stack. Everything random in it is drawn from the seed.
func newNetwork(said *configuration, profile string, send func(frame []byte)) (*network, error) {
	source := &lockedSource{source: rand.NewSource(said.Seed).(rand.Source64)}
	random.Reader = rand.New(source)
	n := &network{clock: &clock{now: epoch}}
	n.Stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{arp.NewProtocol, ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		Clock:              n.clock,
		RandSource:         source,
		SecureRNG:          random.Reader,
	})
	n.tcp = n.TransportProtocolInstance(tcp.ProtocolNumber)
	if err := n.configure(said, profile, send); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *network) configure(said *configuration, profile string, send func(frame []byte)) error {
	mac, err := tcpip.ParseMACAddress(said.MAC)
	if err != nil {
		return err
	}
	n.link = &link{mac: mac, mtu: said.MTU, send: send}
	if err := n.CreateNIC(device, n.link); err != nil {
		return fmt.Errorf("the device: %s", err)
	}
	for _, text := range said.Addresses {
		address, subnet, err := net.ParseCIDR(text)
		if err != nil {
			return err
		}
		if err := n.addAddress(address, subnet); err != nil {
			return fmt.Errorf("the address %s: %s", text, err)
		}
	}
	router, err := tcpip.ParseMACAddress(said.RouterMAC)
	if err != nil && said.RouterMAC != "" {
		return err
	}
	for _, text := range said.Gateways {
		address, protocol := address(net.ParseIP(text))
		if protocol == 0 {
			return fmt.Errorf("the gateway %s is no address", text)
		}
		everything := header.IPv4EmptySubnet
		if protocol == header.IPv6ProtocolNumber {
			everything = header.IPv6EmptySubnet
		}
		n.AddRoute(tcpip.Route{Destination: everything, Gateway: address, NIC: device})
		if router != "" {
			n.AddStaticNeighbor(device, protocol, address, router)
		}
	}
	return n.adjust(profile)
}

func (n *network) addAddress(ip net.IP, subnet *net.IPNet) error {
	own, protocol := address(ip)
	length, _ := subnet.Mask.Size()
	with := tcpip.AddressWithPrefix{Address: own, PrefixLen: length}
	assigned := tcpip.ProtocolAddress{Protocol: protocol, AddressWithPrefix: with}
	if err := n.AddProtocolAddress(device, assigned, stack.AddressProperties{}); err != nil {
		return fmt.Errorf("%s", err)
	}
	n.AddRoute(tcpip.Route{Destination: with.Subnet(), NIC: device})
	return nil
}

// adjust sets TCP up as gVisor's own kernel does, but for what the profiles say, which are joined by +.
func (n *network) adjust(profiles string) error {
	sack, delay := tcpip.TCPSACKEnabled(true), tcpip.TCPDelayEnabled(true)
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	usual := []tcpip.SettableTransportProtocolOption{&sack, &delay, &moderate}
	var options []tcpip.SettableTransportProtocolOption
	for _, profile := range strings.Split(profiles, "+") {
		switch profile {
		case "":
		case "library":
			usual = nil
		case "sack-off":
			sack = false
		case "rack-off":
			recovery := tcpip.TCPRecovery(0)
			options = append(options, &recovery)
		case "cubic":
			control := tcpip.CongestionControlOption("cubic")
			options = append(options, &control)
		case "unthrottled":
			limit := stack.TCPInvalidRateLimitOption(0)
			if err := n.SetOption(limit); err != nil {
				return fmt.Errorf("the limit of challenge ACKs: %s", err)
			}
		case "syncookies":
			cookies := tcpip.TCPAlwaysUseSynCookies(true)
			options = append(options, &cookies)
		default:
			return fmt.Errorf("no profile %q", profile)
		}
	}
	for _, option := range append(usual, options...) {
		if err := n.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return fmt.Errorf("%T: %s", option, err)
		}
	}
	return nil
}

// options are the TCP options that the stack negotiates.
func (n *network) options() []string {
	if n.sack() {
		return []string{"mss", "wscale", "sackOK", "ts"}
	}
	return []string{"mss", "wscale", "ts"}
}

// settings are what the tester's language calls them.
func (n *network) settings() map[string]string {
	var always tcpip.TCPAlwaysUseSynCookies
	n.TransportProtocolOption(tcp.ProtocolNumber, &always)
	settings := map[string]string{
		"syncookies": "when-full", "rfc1337": "on", "ecn": "off", "fastopen": "off", "abort-on-overflow": "off",
		"timestamps": "on", "sack": "off", "window-scaling": "on", "tw-reuse": "off", "mtu-probing": "off",
	}
	if always {
		settings["syncookies"] = "always"
	}
	if n.sack() {
		settings["sack"] = "on"
	}
	return settings
}

func (n *network) sack() bool {
	var sack tcpip.TCPSACKEnabled
	return n.TransportProtocolOption(tcp.ProtocolNumber, &sack) == nil && bool(sack)
}

// barrier returns when the stack has done all that it can do now. TCP handles segments in goroutines of its own; Pause
// makes each of them say that its queue is empty and that it is at rest.
func (n *network) barrier() {
	n.tcp.Pause()
	n.tcp.Resume()
}

// run does all that is due now.
func (n *network) run() {
	n.barrier()
	for f := n.clock.due(); f != nil; f = n.clock.due() {
		f()
		n.barrier()
	}
}

// close ends the stack's goroutines and lets go of it; its connections are forgotten without a word.
func (n *network) close() {
	n.tcp.Close()
	n.tcp.Wait()
	n.RemoveNIC(device)
	for _, left := range tcpip.GetDanglingEndpoints() {
		tcpip.DeleteDanglingEndpoint(left)
	}
}

// address is an IP address as the stack has it, and its protocol; 0 when it is none.
func address(ip net.IP) (tcpip.Address, tcpip.NetworkProtocolNumber) {
	if four := ip.To4(); four != nil {
		return tcpip.Address(four), header.IPv4ProtocolNumber
	}
	if len(ip) == net.IPv6len {
		return tcpip.Address(ip), header.IPv6ProtocolNumber
	}
	return "", 0
}

// lockedSource is a rand.Source64 for several goroutines.
type lockedSource struct {
	mu     sync.Mutex
	source rand.Source64
}

func (s *lockedSource) Int63() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source.Int63()
}

func (s *lockedSource) Uint64() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source.Uint64()
}

func (s *lockedSource) Seed(seed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.source.Seed(seed)
}
