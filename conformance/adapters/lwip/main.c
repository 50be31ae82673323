/* SPDX-License-Identifier: BSD-3-Clause
 *
 * An agent for lwIP (docs/adapters.md): the stack, its virtual time, frames by the channel.
 */
#include "agent.h"
#include "channel.h"
#include "copies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"

#define MILLISECOND 1000000u
#define LONGEST_FRAME 65600

uint64_t agent_now;
unsigned long agent_settled;

static struct netif interface;
static ip6_addr_t gateway6;
static unsigned random_state;
static unsigned long frames_in, frames_out;

u32_t sys_now(void)
{
    return (u32_t)(agent_now / MILLISECOND);
}

unsigned agent_random(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8 ^ random_state << 16;
}

const ip6_addr_t *agent_gateway6(void)
{
    return &gateway6;
}

static err_t emit(struct netif *netif, struct pbuf *p)
{
    static uint8_t octets[LONGEST_FRAME];
    LWIP_UNUSED_ARG(netif);
    u16_t length = pbuf_copy_partial(p, octets, p->tot_len, 0);
    frames_out++;
    channel_frame(octets, length, agent_now);
    return ERR_OK;
}

static err_t set_interface_up(struct netif *netif)
{
    netif->name[0] = 'c', netif->name[1] = '0';
    netif->output = etharp_output;
    netif->output_ip6 = ethip6_output;
    netif->linkoutput = emit;
    netif->hwaddr_len = 6;
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

static void mac(const char *value, uint8_t *octets)
{
    char text[32];
    unsigned parts[6] = {0};
    if (json_text(value, text, sizeof text) > 0)
        sscanf(text, "%x:%x:%x:%x:%x:%x", parts, parts + 1, parts + 2, parts + 3, parts + 4, parts + 5);
    for (int i = 0; i < 6; i++)
        octets[i] = (uint8_t)parts[i];
}

static void configure(const char *said)
{
    char text[80];
    ip4_addr_t address = {0}, mask = {0}, gateway = {0};
    ip6_addr_t address6;
    struct eth_addr router;
    ip6_addr_set_zero(&address6);

    random_state = (unsigned)json_int(json_get(said, "seed"), 1);
    for (int i = 0; json_text(json_at(json_get(said, "addresses"), i), text, sizeof text) > 0; i++) {
        char *slash = strchr(text, '/');
        int length = slash ? atoi(slash + 1) : 0;
        if (slash)
            *slash = '\0';
        if (strchr(text, ':')) {
            ip6addr_aton(text, &address6);
        } else {
            ip4addr_aton(text, &address);
            mask.addr = lwip_htonl(length ? 0xffffffffu << (32 - length) : 0);
        }
    }
    for (int i = 0; json_text(json_at(json_get(said, "gateways"), i), text, sizeof text) > 0; i++) {
        if (strchr(text, ':'))
            ip6addr_aton(text, &gateway6);
        else
            ip4addr_aton(text, &gateway);
    }
    netif_add(&interface, &address, &mask, &gateway, NULL, set_interface_up, ethernet_input);
    mac(json_get(said, "mac"), interface.hwaddr);
    mac(json_get(said, "router_mac"), router.addr);
    interface.mtu = interface.mtu6 = (u16_t)json_int(json_get(said, "mtu"), 1500);
    netif_create_ip6_linklocal_address(&interface, 1);
    netif_ip6_addr_set_state(&interface, 0, IP6_ADDR_PREFERRED);
    netif_ip6_addr_set(&interface, 1, &address6);
    netif_ip6_addr_set_state(&interface, 1, IP6_ADDR_PREFERRED);
    netif_set_default(&interface);
    netif_set_up(&interface);
    etharp_add_static_entry(&gateway, &router);
}

static void hello(void)
{
    frames_in = frames_out = 0;
    channel_say("{\"hello\":{\"protocol\":1,\"stack\":\"lwIP\",\"version\":\"%s\",\"clock\":\"virtual\",", LWIP_VERSION_STRING);
    channel_say("\"frames\":\"channel\",\"ip\":[4,6],\"state\":true,\"reset\":true,"
                "\"msl\":%d.0,\"first_repeat\":%d.5,",
                (int)(TCP_MSL / 1000), 4);
    channel_say("\"verbs\":[\"listen\",\"accept\",\"connect\",\"send\",\"recv\",\"shutdown\",\"close\",\"abort\","
                "\"setsockopt\",\"getsockopt\",\"poll\"],\"options\":[\"mss\"%s%s%s],",
                LWIP_WND_SCALE ? ",\"wscale\"" : "", LWIP_TCP_SACK_OUT ? ",\"sackOK\"" : "",
                LWIP_TCP_TIMESTAMPS ? ",\"ts\"" : "");
    channel_say("\"settings\":{\"timers\":\"coarse\",\"syncookies\":\"never\",\"rfc1337\":\"off\",\"ecn\":\"off\",\"fastopen\":\"off\","
                "\"abort-on-overflow\":\"off\",\"timestamps\":\"%s\",\"sack\":\"%s\",\"window-scaling\":\"%s\"}}}\n",
                LWIP_TCP_TIMESTAMPS ? "on" : "off", LWIP_TCP_SACK_OUT ? "on" : "off", LWIP_WND_SCALE ? "on" : "off");
}

static void take_frame(const char *value)
{
    static uint8_t octets[LONGEST_FRAME];
    long length = json_octets(value, octets, sizeof octets);
    frames_in++;
    if (length < 14 || length > 0xffff)
        return;
    struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_POOL);
    if (p == NULL)
        return;
    pbuf_take(p, octets, (u16_t)length);
    if (interface.input(p, &interface) != ERR_OK)
        pbuf_free(p);
}

/* When the next timer is due, in ns; UINT64_MAX for never. */
static uint64_t next_timer(void)
{
    u32_t left = sys_timeouts_sleeptime();
    if (left == SYS_TIMEOUTS_SLEEPTIME_INFINITE)
        return UINT64_MAX;
    return left == 0 ? agent_now : (agent_now / MILLISECOND + left) * MILLISECOND;
}

static void advance(long long id, const char *line)
{
    long long to = json_int(json_get(line, "to"), -1);
    unsigned long before = frames_out, settled = agent_settled;

    if (to < 0 || json_int(json_get(line, "in"), -1) != (long long)frames_in) {
        channel_say("{\"id\":%lld,\"error\":\"EPROTO\"}\n", id);
        return;
    }
    for (;;) {
        uint64_t next = next_timer();
        if (next > (uint64_t)to && next != agent_now) {
            if ((uint64_t)to > agent_now)
                agent_now = (uint64_t)to;
            break;
        }
        agent_now = next;
        sys_check_timeouts();
        if (frames_out != before || agent_settled != settled)
            break;
    }
    uint64_t next = next_timer();
    channel_say("{\"id\":%lld,\"ok\":{\"now\":%llu,\"in\":%lu,\"out\":%lu,\"next\":", id, (unsigned long long)agent_now,
                frames_in, frames_out);
    if (next == UINT64_MAX)
        channel_say("null}}\n");
    else
        channel_say("%llu}}\n", (unsigned long long)next);
}

static void serve(void)
{
    char *line;
    hello();
    while ((line = channel_line()) != NULL) {
        char verb[32];
        const char *frame = json_get(line, "frame");
        long long id = json_int(json_get(line, "id"), -1);
        if (frame != NULL)
            take_frame(frame);
        else if (id < 0 || json_text(json_get(line, "do"), verb, sizeof verb) < 0)
            continue;
        else if (strcmp(verb, "advance") == 0)
            advance(id, line);
        else if (strcmp(verb, "reset") == 0)
            _exit(RESET);
        else
            verbs_request(id, verb, line);
    }
    _exit(0);
}

int main(void)
{
    char *line = channel_line();
    const char *said = line ? json_get(line, "configure") : NULL;
    if (said == NULL)
        return 1;
    lwip_init();
    configure(said);
    channel_flush();
    return let_copies(serve);
}
