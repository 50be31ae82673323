/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef AGENT_H
#define AGENT_H

#include <cstdint>
#include <functional>
#include <string>

#include "ns3/node.h"

extern "C" {
#include "channel.h"
}

/* --- clock.cc: ns-3's own simulator, one event at a time ------------------------------------------------------------ */

/* To be called before anything else of ns-3. */
void clock_begin();
/* From here on time is counted from 0. */
void clock_zero();
/* ns since clock_zero. */
int64_t clock_now();
/* When the next event is due that was not cancelled; INT64_MAX for never. */
int64_t clock_next();
/* Do the next event, whose time it becomes. */
void clock_step();
/* Let time go on to `to`, before which no event is due. */
void clock_move(int64_t to);

/* --- network.cc: one node with one Ethernet device ------------------------------------------------------------------ */

using Sent = std::function<void(const uint8_t *frame, size_t length)>;

/* What `configure` says, and the profile. False, with the reason on standard error, when that can't be. */
bool network_begin(const char *said, const std::string &profile, Sent sent);
void network_take(const uint8_t *frame, size_t length);
ns3::Ptr<ns3::Node> network_node();

/* --- sockets.cc: the application's calls ---------------------------------------------------------------------------- */

/* Do what a request asks, and answer it. */
void sockets_request(long long id, const std::string &verb, const char *line);
/* Try the calls that wait; true when one has ended and been answered. */
bool sockets_retry();

#endif
