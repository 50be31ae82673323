/* SPDX-License-Identifier: GPL-2.0-only
 *
 * One node with ns-3's Internet stack, and its Ethernet device, whose frames go to the tester and come from it.
 */
#include "agent.h"

#include <cstdio>
#include <cstdlib>

#include "ns3/arp-cache.h"
#include "ns3/boolean.h"
#include "ns3/config.h"
#include "ns3/enum.h"
#include "ns3/error-model.h"
#include "ns3/ethernet-header.h"
#include "ns3/global-value.h"
#include "ns3/internet-stack-helper.h"
#include "ns3/ipv4-interface.h"
#include "ns3/ipv4-l3-protocol.h"
#include "ns3/ipv4-static-routing-helper.h"
#include "ns3/ipv6-interface.h"
#include "ns3/ipv6-l3-protocol.h"
#include "ns3/ipv6-static-routing-helper.h"
#include "ns3/ndisc-cache.h"
#include "ns3/queue.h"
#include "ns3/rng-seed-manager.h"
#include "ns3/simple-channel.h"
#include "ns3/simple-net-device.h"
#include "ns3/tcp-socket-state.h"
#include "ns3/uinteger.h"

using namespace ns3;

namespace
{

/* ns-3's plain device, with the tester in place of its channel. */
class Wire : public SimpleNetDevice
{
  public:
    Sent sent;

    bool Send(Ptr<Packet> packet, const Address &to, uint16_t protocol) override
    {
        return SendFrom(packet, GetAddress(), to, protocol);
    }

    bool SendFrom(Ptr<Packet> packet, const Address &from, const Address &to, uint16_t protocol) override
    {
        EthernetHeader header(false);
        header.SetSource(Mac48Address::ConvertFrom(from));
        header.SetDestination(Mac48Address::ConvertFrom(to));
        header.SetLengthType(protocol);
        Ptr<Packet> frame = packet->Copy();
        frame->AddHeader(header);
        std::vector<uint8_t> octets(frame->GetSize());
        frame->CopyData(octets.data(), frame->GetSize());
        sent(octets.data(), octets.size());
        return true;
    }
};

Ptr<Node> node;
Ptr<Wire> wire;

std::string text_of(const char *value)
{
    char text[96];
    return json_text(value, text, sizeof text) < 0 ? "" : text;
}

/* An address with its prefix, or a gateway. */
struct Named
{
    std::string address;
    int prefix;
    bool six;
};

std::vector<Named> names(const char *array)
{
    std::vector<Named> found;
    for (int i = 0; json_at(array, i) != nullptr; i++) {
        std::string text = text_of(json_at(array, i));
        size_t slash = text.find('/');
        int prefix = slash == std::string::npos ? 0 : atoi(text.c_str() + slash + 1);
        found.push_back({text.substr(0, slash), prefix, text.find(':') != std::string::npos});
    }
    return found;
}

bool adjust(const std::string &profile)
{
    GlobalValue::Bind("ChecksumEnabled", BooleanValue(true));
    if (profile != "small") /* it negotiates no MSS: what fits its device with IPv6 and timestamps */
        Config::SetDefault("ns3::TcpSocket::SegmentSize", UintegerValue(1000));
    if (profile == "plain") {
        Config::SetDefault("ns3::TcpSocketBase::Timestamp", BooleanValue(false));
        Config::SetDefault("ns3::TcpSocketBase::Sack", BooleanValue(false));
        Config::SetDefault("ns3::TcpSocketBase::WindowScaling", BooleanValue(false));
    } else if (profile == "nagle") {
        Config::SetDefault("ns3::TcpSocket::TcpNoDelay", BooleanValue(false));
    } else if (profile == "ecn") {
        Config::SetDefault("ns3::TcpSocketBase::UseEcn", EnumValue(TcpSocketState::On));
    } else if (!profile.empty() && profile != "small") {
        fprintf(stderr, "no profile %s\n", profile.c_str());
        return false;
    }
    return true;
}

void add_four(const char *said, Mac48Address router)
{
    Ptr<Ipv4L3Protocol> ip = node->GetObject<Ipv4L3Protocol>();
    ip->SetAttribute("IpForward", BooleanValue(false)); /* a host */
    uint32_t interface = ip->AddInterface(wire);
    for (const Named &own : names(json_get(said, "addresses"))) {
        if (own.six)
            continue;
        uint32_t mask = own.prefix == 0 ? 0 : 0xffffffffu << (32 - own.prefix);
        ip->AddAddress(interface, Ipv4InterfaceAddress(Ipv4Address(own.address.c_str()), Ipv4Mask(mask)));
    }
    ip->SetUp(interface);
    for (const Named &gateway : names(json_get(said, "gateways"))) {
        if (gateway.six)
            continue;
        Ipv4Address address(gateway.address.c_str());
        Ipv4StaticRoutingHelper().GetStaticRouting(ip)->SetDefaultRoute(address, interface);
        ArpCache::Entry *entry = ip->GetInterface(interface)->GetArpCache()->Add(address);
        entry->SetMacAddress(router);
        entry->MarkPermanent();
    }
}

void add_six(const char *said, Mac48Address router)
{
    Ptr<Ipv6L3Protocol> ip = node->GetObject<Ipv6L3Protocol>();
    uint32_t interface = ip->AddInterface(wire);
    for (const Named &own : names(json_get(said, "addresses"))) {
        if (!own.six)
            continue;
        Ipv6Address address(own.address.c_str());
        ip->AddAddress(interface, Ipv6InterfaceAddress(address, Ipv6Prefix(static_cast<uint8_t>(own.prefix))));
    }
    ip->SetUp(interface);
    for (const Named &gateway : names(json_get(said, "gateways"))) {
        if (!gateway.six)
            continue;
        Ipv6Address address(gateway.address.c_str());
        Ipv6StaticRoutingHelper().GetStaticRouting(ip)->SetDefaultRoute(address, interface);
        NdiscCache::Entry *entry = ip->GetInterface(interface)->GetNdiscCache()->Add(address);
        entry->SetRouter(true);
        entry->SetMacAddress(router);
        entry->MarkPermanent();
    }
}

} // namespace

Ptr<Node> network_node()
{
    return node;
}

bool network_begin(const char *said, const std::string &profile, Sent sent)
{
    std::string own = text_of(json_get(said, "mac")), router = text_of(json_get(said, "router_mac"));
    if (own.empty() || router.empty()) {
        fprintf(stderr, "configure has no mac or no router_mac\n");
        return false;
    }
    if (!adjust(profile))
        return false;
    RngSeedManager::SetSeed(1);
    RngSeedManager::SetRun(static_cast<uint64_t>(json_int(json_get(said, "seed"), 1)));
    node = CreateObject<Node>();
    wire = CreateObject<Wire>();
    wire->sent = std::move(sent);
    wire->SetAddress(Mac48Address(own.c_str()));
    wire->SetMtu(static_cast<uint16_t>(json_int(json_get(said, "mtu"), 1500)));
    wire->SetChannel(CreateObject<SimpleChannel>()); /* without one the link is down */
    node->AddDevice(wire);
    InternetStackHelper().Install(node);
    add_four(said, Mac48Address(router.c_str()));
    add_six(said, Mac48Address(router.c_str()));
    return true;
}

void network_take(const uint8_t *frame, size_t length)
{
    EthernetHeader header(false);
    Ptr<Packet> packet = Create<Packet>(frame, static_cast<uint32_t>(length));
    if (length < header.GetSerializedSize())
        return;
    packet->RemoveHeader(header);
    wire->Receive(packet, header.GetLengthType(), header.GetDestination(), header.GetSource());
}
