// SPDX-License-Identifier: Apache-2.0

package main

import (
	"gvisor.dev/gvisor/pkg/bufferv2"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// link is the stack's network device: Ethernet, without offloads.
type link struct {
	mac        tcpip.LinkAddress
	mtu        uint32
	dispatcher stack.NetworkDispatcher
	send       func(frame []byte)
}

var _ stack.LinkEndpoint = (*link)(nil)

// receive hands a frame to the stack, unless it is for another station.
func (l *link) receive(frame []byte) {
	if len(frame) < header.EthernetMinimumSize || l.dispatcher == nil {
		return
	}
	to := header.Ethernet(frame).DestinationAddress()
	if to != l.mac && to[0]&1 == 0 {
		return
	}
	packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: bufferv2.MakeWithData(frame)})
	defer packet.DecRef()
	if octets, ok := packet.LinkHeader().Consume(header.EthernetMinimumSize); ok {
		l.dispatcher.DeliverNetworkPacket(header.Ethernet(octets).Type(), packet)
	}
}

// WritePackets implements stack.LinkWriter.
func (l *link) WritePackets(packets stack.PacketBufferList) (int, tcpip.Error) {
	for _, packet := range packets.AsSlice() {
		view := packet.ToView()
		l.send(view.AsSlice())
		view.Release()
	}
	return packets.Len(), nil
}

// AddHeader implements stack.NetworkLinkEndpoint.
func (l *link) AddHeader(packet stack.PacketBufferPtr) {
	header.Ethernet(packet.LinkHeader().Push(header.EthernetMinimumSize)).Encode(&header.EthernetFields{
		SrcAddr: l.mac,
		DstAddr: packet.EgressRoute.RemoteLinkAddress,
		Type:    packet.NetworkProtocolNumber,
	})
}

// MTU implements stack.NetworkLinkEndpoint.
func (l *link) MTU() uint32 { return l.mtu }

// MaxHeaderLength implements stack.NetworkLinkEndpoint.
func (*link) MaxHeaderLength() uint16 { return header.EthernetMinimumSize }

// LinkAddress implements stack.NetworkLinkEndpoint.
func (l *link) LinkAddress() tcpip.LinkAddress { return l.mac }

// Capabilities implements stack.NetworkLinkEndpoint.
func (*link) Capabilities() stack.LinkEndpointCapabilities { return stack.CapabilityResolutionRequired }

// Attach implements stack.NetworkLinkEndpoint.
func (l *link) Attach(dispatcher stack.NetworkDispatcher) { l.dispatcher = dispatcher }

// IsAttached implements stack.NetworkLinkEndpoint.
func (l *link) IsAttached() bool { return l.dispatcher != nil }

// Wait implements stack.NetworkLinkEndpoint.
func (*link) Wait() {}

// ARPHardwareType implements stack.NetworkLinkEndpoint.
func (*link) ARPHardwareType() header.ARPHardwareType { return header.ARPHardwareEther }
