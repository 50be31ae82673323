/* SPDX-License-Identifier: GPL-2.0-only
 *
 * Socket options, what is ready, and the state of a connection; addresses for all verbs.
 */
#include "sockets.h"

#include "ns3/boolean.h"
#include "ns3/inet-socket-address.h"
#include "ns3/inet6-socket-address.h"
#include "ns3/object-vector.h"
#include "ns3/tcp-l4-protocol.h"
#include "ns3/uinteger.h"

using namespace ns3;

namespace
{

/* Options that are numbers among a socket's attributes. */
const struct { const char *name, *attribute; bool early; } numbers[] = {
    {"TCP_MAXSEG", "SegmentSize", true}, /* ns-3 aborts when it is changed later */
    {"SO_RCVBUF", "RcvBufSize", false},
    {"SO_SNDBUF", "SndBufSize", false},
    {"TCP_SYNCNT", "ConnCount", false},
};

/* ns-3 keeps a connection's state to itself and its heirs. */
struct Heir : TcpSocketBase
{
    static TcpStates_t state_of(const TcpSocketBase &socket) { return (socket.*(&Heir::m_state)).Get(); }
};

const char *name_of(TcpSocket::TcpStates_t state)
{
    switch (state) {
    case TcpSocket::LISTEN: return "LISTEN";
    case TcpSocket::SYN_SENT: return "SYN-SENT";
    case TcpSocket::SYN_RCVD: return "SYN-RECEIVED";
    case TcpSocket::ESTABLISHED: return "ESTABLISHED";
    case TcpSocket::CLOSE_WAIT: return "CLOSE-WAIT";
    case TcpSocket::LAST_ACK: return "LAST-ACK";
    case TcpSocket::FIN_WAIT_1: return "FIN-WAIT-1";
    case TcpSocket::FIN_WAIT_2: return "FIN-WAIT-2";
    case TcpSocket::CLOSING: return "CLOSING";
    case TcpSocket::TIME_WAIT: return "TIME-WAIT";
    default: return "CLOSED";
    }
}

} // namespace

const char *errno_of(const Sock &s)
{
    switch (s.tcp->GetErrno()) {
    case Socket::ERROR_ISCONN: return "EISCONN";
    case Socket::ERROR_NOTCONN: return "ENOTCONN";
    case Socket::ERROR_MSGSIZE: return "EMSGSIZE";
    case Socket::ERROR_AGAIN: return "EAGAIN";
    case Socket::ERROR_SHUTDOWN: return "EPIPE";
    case Socket::ERROR_OPNOTSUPP: return "EOPNOTSUPP";
    case Socket::ERROR_AFNOSUPPORT: return "EAFNOSUPPORT";
    case Socket::ERROR_BADF: return "EBADF";
    case Socket::ERROR_NOROUTETOHOST: return "EHOSTUNREACH";
    case Socket::ERROR_NODEV: return "ENODEV";
    case Socket::ERROR_ADDRNOTAVAIL: return "EADDRNOTAVAIL";
    case Socket::ERROR_ADDRINUSE: return "EADDRINUSE";
    default: return "EINVAL";
    }
}

Address endpoint(const char *value)
{
    char text[64];
    long long port = json_int(json_at(value, 1), -1);
    if (json_text(json_at(value, 0), text, sizeof text) < 0 || port < 0 || port > 0xffff)
        return Address();
    if (std::string(text).find(':') != std::string::npos)
        return Inet6SocketAddress(Ipv6Address(text), static_cast<uint16_t>(port));
    return InetSocketAddress(Ipv4Address(text), static_cast<uint16_t>(port));
}

std::pair<std::string, unsigned> named(const Address &address)
{
    std::ostringstream text;
    if (Inet6SocketAddress::IsMatchingType(address)) {
        Inet6SocketAddress six = Inet6SocketAddress::ConvertFrom(address);
        text << six.GetIpv6();
        return {text.str(), six.GetPort()};
    }
    InetSocketAddress four = InetSocketAddress::ConvertFrom(address);
    text << four.GetIpv4();
    return {text.str(), four.GetPort()};
}

void do_setsockopt(Sock &s, long long id, const char *line)
{
    char text[32] = "";
    json_text(json_get(line, "name"), text, sizeof text);
    std::string name = text;
    long long value = json_int(json_get(line, "value"), 0);
    for (const auto &number : numbers) {
        if (name != number.name)
            continue;
        if (value < 1 || value > 0x7fffffff || (number.early && s.used)) {
            answer_error(id, "EINVAL");
            return;
        }
        s.tcp->SetAttribute(number.attribute, UintegerValue(static_cast<uint64_t>(value)));
        answer_null(id);
        return;
    }
    if (name == "TCP_NODELAY")
        s.tcp->SetAttribute("TcpNoDelay", BooleanValue(value != 0));
    else if (name == "IP_TTL")
        s.tcp->SetIpTtl(static_cast<uint8_t>(value));
    else if (name == "IP_TOS")
        s.tcp->SetIpTos(static_cast<uint8_t>(value));
    else if (name == "IPV6_UNICAST_HOPS")
        s.tcp->SetIpv6HopLimit(static_cast<uint8_t>(value));
    else if (name == "IPV6_TCLASS")
        s.tcp->SetIpv6Tclass(static_cast<int>(value));
    else {
        answer_error(id, "ENOPROTOOPT");
        return;
    }
    answer_null(id);
}

void do_getsockopt(Sock &s, long long id, const char *line)
{
    char text[32] = "";
    json_text(json_get(line, "name"), text, sizeof text);
    std::string name = text;
    for (const auto &number : numbers) {
        if (name != number.name)
            continue;
        UintegerValue value;
        s.tcp->GetAttribute(number.attribute, value);
        answer_int(id, static_cast<long>(value.Get()));
        return;
    }
    if (name == "TCP_NODELAY") {
        BooleanValue value;
        s.tcp->GetAttribute("TcpNoDelay", value);
        answer_int(id, value.Get() ? 1 : 0);
    } else if (name == "SO_ERROR") {
        answer_int(id, s.error.empty() ? 0 : 1);
        s.error.clear();
    } else {
        answer_error(id, "ENOPROTOOPT");
    }
}

void do_poll(const Sock &s, long long id)
{
    bool error = !s.error.empty(), end = s.used && !s.listening && s.ended();
    bool in = s.tcp->GetRxAvailable() > 0 || end || error || !s.queue.empty();
    bool out = error || (s.connected && !s.gone && s.tcp->GetTxAvailable() > 0);
    const struct { bool ready; const char *name; } names[] = {
        {in, "IN"}, {out, "OUT"}, {error, "ERR"}, {s.gone, "HUP"}, {end, "RDHUP"}};
    const char *between = "";
    channel_say("{\"id\":%lld,\"ok\":[", id);
    for (const auto &one : names) {
        if (one.ready) {
            channel_say("%s\"%s\"", between, one.name);
            between = ",";
        }
    }
    channel_say("]}\n");
}

void do_state(long long id, const char *line)
{
    Address local = endpoint(json_get(line, "local")), remote = endpoint(json_get(line, "remote"));
    if (local.IsInvalid() || remote.IsInvalid()) {
        answer_error(id, "EPROTO");
        return;
    }
    const char *found = "CLOSED";
    ObjectVectorValue all;
    network_node()->GetObject<TcpL4Protocol>()->GetAttribute("SocketList", all);
    for (auto it = all.Begin(); it != all.End(); ++it) {
        Ptr<TcpSocketBase> socket = DynamicCast<TcpSocketBase>(it->second);
        Address own, peer;
        TcpSocket::TcpStates_t state = Heir::state_of(*socket);
        socket->GetSockName(own);
        if (own != local)
            continue;
        if (state == TcpSocket::LISTEN && found == std::string("CLOSED"))
            found = "LISTEN";
        else if (socket->GetPeerName(peer) == 0 && peer == remote)
            found = name_of(state);
    }
    channel_say("{\"id\":%lld,\"ok\":\"%s\"}\n", id, found);
}
