/* SPDX-License-Identifier: 0BSD
 *
 * A template: an agent for a stack in virtual time, in C (docs/adapters.md). channel.c and channel.h stand in
 * conformance/adapters/lwip/ (BSD-3-Clause), whose agent is a whole one:
 *
 *     cc -I conformance/adapters/lwip docs/templates/agent.c conformance/adapters/lwip/channel.c -o agent
 *     conformance target check ./agent
 *
 * As it stands it is a stack that hears everything and says nothing, so that every case is UNSUPPORTED. Fill in stack_*.
 */
#include "channel.h"

#include <stdio.h>
#include <string.h>

static uint64_t now;                /* ns since `configure` */
static unsigned long taken, given;  /* frames to and from the stack */
static unsigned long ended;         /* calls that had been pending and have ended */

static void stack_up(const char *configure) { (void)configure; /* addresses, gateways, mac, router_mac, mtu, seed */ }
static void stack_frame(const uint8_t *octets, size_t length) { (void)octets, (void)length; }
static uint64_t stack_next_timer(void) { return UINT64_MAX; /* when the next timer is due, in ns */ }
static void stack_run_timers(void) { /* what is due now */ }

/* Where the stack sends a frame. */
void stack_sends(const uint8_t *octets, size_t length)
{
    given++;
    channel_frame(octets, length, now);
}

static void advance(long long id, const char *line)
{
    uint64_t to = (uint64_t)json_int(json_get(line, "to"), 0);
    unsigned long before = given + ended;
    while (stack_next_timer() <= to && given + ended == before) {
        if (stack_next_timer() > now)
            now = stack_next_timer();
        stack_run_timers();
    }
    if (given + ended == before && to > now)
        now = to;
    channel_say("{\"id\":%lld,\"ok\":{\"now\":%llu,\"in\":%lu,\"out\":%lu,\"next\":null}}\n", id, (unsigned long long)now,
                taken, given);
}

int main(void)
{
    static uint8_t octets[65600];
    char *line, verb[32];
    while ((line = channel_line()) != NULL) {
        long long id = json_int(json_get(line, "id"), -1);
        if (json_get(line, "configure")) {
            stack_up(json_get(line, "configure"));
            channel_say("{\"hello\":{\"protocol\":1,\"stack\":\"mine\",\"version\":\"0\",\"clock\":\"virtual\",");
            channel_say("\"frames\":\"channel\",\"ip\":[4,6],\"verbs\":[],\"options\":[\"mss\"],\"msl\":120.0}}\n");
        } else if (json_get(line, "frame")) {
            long length = json_octets(json_get(line, "frame"), octets, sizeof octets);
            taken++;
            if (length > 0)
                stack_frame(octets, (size_t)length);
        } else if (json_text(json_get(line, "do"), verb, sizeof verb) < 0) {
            continue;
        } else if (strcmp(verb, "advance") == 0) {
            advance(id, line);
        } else if (strcmp(verb, "open") == 0 || strcmp(verb, "dispose") == 0 || strcmp(verb, "cancel") == 0) {
            channel_say("{\"id\":%lld,\"ok\":null}\n", id);
        } else {
            channel_say("{\"id\":%lld,\"error\":\"ENOSYS\"}\n", id); /* listen, accept, ...: one branch each */
        }
    }
    return 0;
}
