/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <deque>
#include <memory>

#include "agent.h"
#include "ns3/address.h"
#include "ns3/tcp-socket-base.h"

/* An application's socket. What ns-3 tells by callbacks is kept until a call asks for it. */
struct Sock
{
    ns3::Ptr<ns3::TcpSocketBase> tcp;
    ns3::Address local, remote;
    bool bound = false, used = false; /* used: Listen or Connect was called */
    bool listening = false, connected = false, gone = false; /* gone: ns-3 said that it is closed */
    bool reset = false; /* the stack has sent a RST for it */
    std::string error; /* told by the next call */
    std::deque<std::shared_ptr<Sock>> queue; /* of a listener: connections to be accepted */

    /* All is read, and no more will come. */
    bool ended() const;
};

/* [address, port] of a request as an address of ns-3; an invalid one when it is none. */
ns3::Address endpoint(const char *value);
/* "address" and port of an address of ns-3. */
std::pair<std::string, unsigned> named(const ns3::Address &address);

/* The name of the errno that ns-3 has kept for a socket. */
const char *errno_of(const Sock &s);

void do_setsockopt(Sock &s, long long id, const char *line);
void do_getsockopt(Sock &s, long long id, const char *line);
void do_poll(const Sock &s, long long id);
void do_state(long long id, const char *line);

#endif
