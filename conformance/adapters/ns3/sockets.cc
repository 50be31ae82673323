/* SPDX-License-Identifier: GPL-2.0-only
 *
 * An application's calls on ns-3's sockets. ns-3 has no call that aborts a connection, so the agent has none, either.
 */
#include "sockets.h"

#include <map>

#include "ns3/inet-socket-address.h"
#include "ns3/inet6-socket-address.h"
#include "ns3/packet.h"
#include "ns3/tcp-header.h"
#include "ns3/tcp-rx-buffer.h"
#include "ns3/tcp-socket-factory.h"

using namespace ns3;

namespace
{

const uint32_t LONGEST = 65535;
const size_t ROOM = 1 << 17;

using Shared = std::shared_ptr<Sock>;
/* Tries a call; true when it has answered. Without `wait` it always does. */
using Attempt = std::function<bool(bool wait)>;

struct Call
{
    long long id;
    Shared of;
    Attempt attempt;
};

std::map<long, Shared> sockets;
std::deque<Call> waiting;

/* --- what ns-3 tells -------------------------------------------------------------------------------------------------- */

void adopt(const Shared &s, Ptr<TcpSocketBase> tcp);

Shared accepted(const Sock &listener, Ptr<TcpSocketBase> tcp, const Address &from)
{
    Shared made = std::make_shared<Sock>();
    made->local = listener.local;
    made->remote = from;
    made->bound = made->used = made->connected = true;
    adopt(made, tcp);
    return made;
}

void adopt(const Shared &s, Ptr<TcpSocketBase> tcp)
{
    std::weak_ptr<Sock> weak = s;
    auto with = [weak](const Ptr<Socket> &told, const std::function<void(Sock &)> &then) {
        Shared own = weak.lock();
        if (own != nullptr && own->tcp == told) /* a connection has the callbacks of its listener until it is adopted */
            then(*own);
    };
    s->tcp = tcp;
    tcp->SetAcceptCallback(
        MakeNullCallback<bool, Ptr<Socket>, const Address &>(), /* every peer may connect */
        Callback<void, Ptr<Socket>, const Address &>([weak](Ptr<Socket> told, const Address &from) {
            Shared own = weak.lock();
            if (own != nullptr && own->tcp == told)
                own->connected = true; /* after a simultaneous open this is what it tells */
            else if (own != nullptr)
                own->queue.push_back(accepted(*own, DynamicCast<TcpSocketBase>(told), from));
        }));
    tcp->SetConnectCallback(
        Callback<void, Ptr<Socket>>([with](Ptr<Socket> told) { with(told, [](Sock &own) { own.connected = true; }); }),
        Callback<void, Ptr<Socket>>([with](Ptr<Socket> told) { with(told, [](Sock &own) { own.error = "ETIMEDOUT"; }); }));
    tcp->SetCloseCallbacks(
        Callback<void, Ptr<Socket>>([with](Ptr<Socket> told) { with(told, [](Sock &own) { own.gone = true; }); }),
        Callback<void, Ptr<Socket>>([with](Ptr<Socket> told) {
            with(told, [](Sock &own) { /* by a RST of its own, or because nobody answered; it does not say which */
                own.gone = true;
                own.error = own.reset ? "ECONNABORTED" : "ETIMEDOUT";
            });
        }));
    tcp->TraceConnectWithoutContext(
        "Tx", Callback<void, Ptr<const Packet>, const TcpHeader &, Ptr<const TcpSocketBase>>(
                  [weak](Ptr<const Packet>, const TcpHeader &header, Ptr<const TcpSocketBase>) {
                      Shared own = weak.lock();
                      if (own != nullptr && (header.GetFlags() & TcpHeader::RST))
                          own->reset = true;
                  }));
}

void make(const Shared &s)
{
    Ptr<Socket> made = Socket::CreateSocket(network_node(), TcpSocketFactory::GetTypeId());
    adopt(s, DynamicCast<TcpSocketBase>(made));
}

bool bind(Sock &s)
{
    if (!s.bound)
        s.bound = s.tcp->Bind(s.local) == 0;
    return s.bound;
}

/* --- calls that may have to wait -------------------------------------------------------------------------------------- */

bool tell_error(Sock &s, long long id)
{
    if (s.error.empty())
        return false;
    answer_error(id, s.error.c_str());
    s.error.clear();
    return true;
}

bool try_accept(Sock &listener, long long id, long as)
{
    if (listener.queue.empty())
        return false;
    Shared s = listener.queue.front();
    listener.queue.pop_front();
    sockets[as] = s;
    auto [address, port] = named(s->remote);
    channel_say("{\"id\":%lld,\"ok\":[\"%s\",%u]}\n", id, address.c_str(), port);
    return true;
}

bool try_connect(const Shared &s, long long id)
{
    if (s->connected) {
        answer_null(id);
        return true;
    }
    if (!s->gone && s->error.empty())
        return false;
    /* What is told as an end without an error was the peer's doing. */
    answer_error(id, s->error.empty() ? "ECONNREFUSED" : s->error.c_str());
    Shared fresh = std::make_shared<Sock>();
    fresh->local = s->local;
    fresh->remote = s->remote;
    *s = *fresh; /* a socket that failed does not connect again: another try takes a new one */
    make(s);
    return true;
}

bool try_recv(Sock &s, long long id, uint32_t count, bool wait)
{
    if (s.tcp->GetRxAvailable() > 0) {
        Ptr<Packet> packet = s.tcp->Recv(std::min(count, LONGEST), 0);
        std::vector<uint8_t> octets(packet ? packet->GetSize() : 0);
        if (packet)
            packet->CopyData(octets.data(), packet->GetSize());
        channel_say("{\"id\":%lld,\"ok\":", id);
        channel_octets(octets.data(), octets.size());
        channel_say("}\n");
    } else if (tell_error(s, id)) {
        return true;
    } else if (s.ended()) {
        channel_say("{\"id\":%lld,\"ok\":\"\"}\n", id);
    } else if (!s.connected) {
        answer_error(id, "ENOTCONN");
    } else if (!wait) {
        answer_error(id, "EAGAIN");
    } else {
        return false;
    }
    return true;
}

bool try_send(Sock &s, long long id, const std::vector<uint8_t> &data, size_t &taken, bool wait)
{
    if (tell_error(s, id))
        return true;
    while (taken < data.size() && s.tcp->GetTxAvailable() > 0) {
        size_t part = std::min<size_t>(data.size() - taken, s.tcp->GetTxAvailable());
        Ptr<Packet> packet = Create<Packet>(data.data() + taken, static_cast<uint32_t>(part));
        if (s.tcp->Send(packet, 0) < 0) {
            answer_error(id, errno_of(s));
            return true;
        }
        taken += part;
    }
    if (taken == data.size() || (!wait && taken > 0))
        answer_int(id, static_cast<long>(taken));
    else if (!wait)
        answer_error(id, "EAGAIN");
    else
        return false;
    return true;
}

void begin(const Shared &s, long long id, bool wait, const Attempt &attempt)
{
    if (attempt(wait))
        return;
    waiting.push_back({id, s, attempt});
    channel_say("{\"id\":%lld,\"pending\":true}\n", id);
}

/* --- the verbs -------------------------------------------------------------------------------------------------------- */

void do_open(long long id, long number, const char *line)
{
    Shared s = std::make_shared<Sock>();
    s->local = endpoint(json_get(line, "local"));
    s->remote = endpoint(json_get(line, "remote"));
    if (number < 0 || sockets.count(number) || s->local.IsInvalid() || s->remote.IsInvalid()) {
        answer_error(id, "EINVAL");
        return;
    }
    make(s);
    sockets[number] = s;
    answer_null(id);
}

void do_listen(const Shared &s, long long id)
{
    if (!bind(*s) || s->tcp->Listen() != 0) {
        answer_error(id, errno_of(*s));
        return;
    }
    s->used = s->listening = true;
    answer_null(id);
}

void do_connect(const Shared &s, long long id)
{
    if (!bind(*s) || s->tcp->Connect(s->remote) != 0) {
        answer_error(id, errno_of(*s));
        return;
    }
    s->used = true;
    begin(s, id, true, [s, id](bool) { return try_connect(s, id); });
}

void do_send(const Shared &s, long long id, const char *line)
{
    std::vector<uint8_t> data(ROOM);
    long length = json_octets(json_get(line, "data"), data.data(), data.size());
    if (length < 0 || json_bool(json_get(line, "urgent"), 0)) {
        answer_error(id, length < 0 ? "EMSGSIZE" : "EOPNOTSUPP");
        return;
    }
    data.resize(static_cast<size_t>(length));
    auto taken = std::make_shared<size_t>(0);
    begin(s, id, json_bool(json_get(line, "wait"), 1), [s, id, data, taken](bool wait) {
        return try_send(*s, id, data, *taken, wait);
    });
}

void do_recv(const Shared &s, long long id, const char *line)
{
    long long count = json_int(json_get(line, "count"), 1);
    if (count < 1 || json_bool(json_get(line, "urgent"), 0)) {
        answer_error(id, count < 1 ? "EINVAL" : "EOPNOTSUPP");
        return;
    }
    uint32_t most = static_cast<uint32_t>(std::min<long long>(count, LONGEST));
    begin(s, id, json_bool(json_get(line, "wait"), 1), [s, id, most](bool wait) { return try_recv(*s, id, most, wait); });
}

void do_accept(const Shared &s, long long id, const char *line)
{
    long as = static_cast<long>(json_int(json_get(line, "as"), -1));
    if (as < 0 || sockets.count(as) || !s->listening)
        answer_error(id, "EINVAL");
    else
        begin(s, id, true, [s, id, as](bool) { return try_accept(*s, id, as); });
}

void do_shutdown(Sock &s, long long id, const char *line)
{
    char how[8] = "";
    json_text(json_get(line, "how"), how, sizeof how);
    std::string direction = how;
    int failed = 0;
    if (direction != "rd")
        failed = s.tcp->ShutdownSend();
    if (direction != "wr" && failed == 0)
        failed = s.tcp->ShutdownRecv();
    if (failed != 0)
        answer_error(id, errno_of(s));
    else
        answer_null(id);
}

/* The application has the socket no more; the stack finishes by itself. Calls that wait learn what comes of it. */
void let_go(long number)
{
    Shared s = sockets[number];
    sockets.erase(number);
    for (const Shared &left : s->queue)
        left->tcp->Close();
    s->tcp->Close();
}

} // namespace

bool Sock::ended() const
{
    return tcp->GetRxAvailable() == 0 && (gone || tcp->GetRxBuffer()->Finished());
}

bool sockets_retry()
{
    bool any = false;
    std::deque<Call> left;
    left.swap(waiting);
    for (Call &call : left) {
        if (call.attempt(true))
            any = true;
        else
            waiting.push_back(std::move(call));
    }
    return any;
}

void sockets_request(long long id, const std::string &verb, const char *line)
{
    long number = static_cast<long>(json_int(json_get(line, "socket"), -1));
    Shared s = sockets.count(number) ? sockets[number] : nullptr;

    if (verb == "open") {
        do_open(id, number, line);
    } else if (verb == "state") {
        do_state(id, line);
    } else if (verb == "cancel") {
        long long wanted = json_int(json_get(line, "call"), 0);
        std::erase_if(waiting, [wanted](const Call &call) { return call.id == wanted; });
        answer_null(id);
    } else if (s == nullptr) {
        if (verb == "dispose")
            answer_null(id);
        else
            answer_error(id, "EBADF");
    } else if (verb == "close" || verb == "dispose") {
        if (verb == "dispose")
            std::erase_if(waiting, [&s](const Call &call) { return call.of == s; });
        let_go(number);
        answer_null(id);
    } else if (verb == "listen") {
        do_listen(s, id);
    } else if (verb == "accept") {
        do_accept(s, id, line);
    } else if (verb == "connect") {
        do_connect(s, id);
    } else if (verb == "send") {
        do_send(s, id, line);
    } else if (verb == "recv") {
        do_recv(s, id, line);
    } else if (verb == "shutdown") {
        do_shutdown(*s, id, line);
    } else if (verb == "setsockopt") {
        do_setsockopt(*s, id, line);
    } else if (verb == "getsockopt") {
        do_getsockopt(*s, id, line);
    } else if (verb == "poll") {
        do_poll(*s, id);
    } else {
        answer_error(id, "ENOSYS");
    }
}
