/* SPDX-License-Identifier: BSD-3-Clause
 *
 * An application's calls, by their names on the channel.
 */
#include "agent.h"
#include "channel.h"
#include "sockets.h"

#include <stdlib.h>
#include <string.h>

#include "lwip/priv/tcp_priv.h"

static int endpoint(const char *value, ip_addr_t *address, uint16_t *port)
{
    char text[64];
    if (json_text(json_at(value, 0), text, sizeof text) < 0 || !ipaddr_aton(text, address))
        return 0;
    *port = (uint16_t)json_int(json_at(value, 1), 0);
    return 1;
}

static void do_listen(struct sock *s, long long id, const char *line)
{
    struct tcp_pcb *pcb = sock_made(s), *listening;
    err_t error = pcb == NULL ? ERR_MEM : tcp_bind(pcb, &s->local, s->local_port);
    if (error != ERR_OK) {
        answer_error(id, errno_of(error));
        return;
    }
    listening = tcp_listen_with_backlog_and_err(pcb, (u8_t)LWIP_MIN(json_int(json_get(line, "backlog"), 1), 255), &error);
    if (listening == NULL) {
        answer_error(id, errno_of(error));
        return;
    }
    s->pcb = listening;
    s->connected = 0;
    tcp_arg(listening, s);
    tcp_accept(listening, on_accept);
    answer_null(id);
}

static void do_connect(struct sock *s, long long id)
{
    struct tcp_pcb *pcb = sock_made(s);
    err_t error = pcb == NULL ? ERR_ISCONN : tcp_bind(pcb, &s->local, s->local_port);
    if (error == ERR_OK) {
        s->connected = 0;
        error = tcp_connect(pcb, &s->remote, s->remote_port, on_connected);
    }
    if (error != ERR_OK)
        answer_error(id, errno_of(error));
    else
        calls_begin(s, id, (struct call){.what = CONNECT}, 1);
}

static void do_shutdown(struct sock *s, long long id, const char *line)
{
    char how[8] = "";
    struct tcp_pcb *pcb = sock_living(s);
    json_text(json_get(line, "how"), how, sizeof how);
    if (pcb == NULL || pcb->state == LISTEN) {
        answer_error(id, "ENOTCONN");
        return;
    }
    int both = strcmp(how, "rdwr") == 0;
    if (both) {
        sock_let_go(pcb); /* tcp_shutdown of both directions is tcp_close: the block is not ours any more */
        s->pcb = NULL;
        s->end = 1;
    }
    err_t error = tcp_shutdown(pcb, both || strcmp(how, "rd") == 0, both || strcmp(how, "wr") == 0);
    if (error != ERR_OK)
        answer_error(id, errno_of(error));
    else
        answer_null(id);
}

static void do_poll(struct sock *s, long long id)
{
    struct tcp_pcb *pcb = sock_living(s);
    int gone = pcb == NULL && s->connected >= 0, listening = pcb != NULL && pcb->state == LISTEN;
    int in = s->unread != NULL || s->end || s->queued || s->error != NULL;
    int out = s->error != NULL || (!listening && pcb != NULL && s->connected == 1 && tcp_sndbuf(pcb) > 0);
    const char *between = "";
    channel_say("{\"id\":%lld,\"ok\":[", id);
    const struct { int ready; const char *name; } names[] = {
        {in, "IN"}, {out, "OUT"}, {s->error != NULL, "ERR"}, {gone, "HUP"}, {s->end, "RDHUP"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].ready) {
            channel_say("%s\"%s\"", between, names[i].name);
            between = ",";
        }
    }
    channel_say("]}\n");
}

static void do_state(long long id, const char *line)
{
    static const char *const names[] = {"CLOSED", "LISTEN", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1",
                                        "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT"};
    struct tcp_pcb *lists[] = {tcp_active_pcbs, tcp_tw_pcbs};
    ip_addr_t local, remote;
    uint16_t local_port, remote_port;
    const char *found = "CLOSED";
    if (!endpoint(json_get(line, "local"), &local, &local_port) || !endpoint(json_get(line, "remote"), &remote, &remote_port)) {
        answer_error(id, "EPROTO");
        return;
    }
    for (struct tcp_pcb_listen *p = tcp_listen_pcbs.listen_pcbs; p != NULL; p = p->next)
        if (p->local_port == local_port && (IP_IS_ANY_TYPE_VAL(p->local_ip) || ip_addr_cmp(&p->local_ip, &local)))
            found = "LISTEN";
    for (int i = 0; i < 2; i++)
        for (struct tcp_pcb *p = lists[i]; p != NULL; p = p->next)
            if (p->local_port == local_port && p->remote_port == remote_port && ip_addr_cmp(&p->local_ip, &local) &&
                ip_addr_cmp(&p->remote_ip, &remote))
                found = names[p->state];
    channel_say("{\"id\":%lld,\"ok\":\"%s\"}\n", id, found);
}

static void do_send(struct sock *s, long long id, const char *line)
{
    struct call call = {.what = SEND, .data = malloc(LONGEST * 2)};
    long length = call.data == NULL ? -1 : json_octets(json_get(line, "data"), call.data, LONGEST * 2);
    if (length < 0 || json_bool(json_get(line, "urgent"), 0)) {
        answer_error(id, length < 0 ? "EMSGSIZE" : "EOPNOTSUPP");
        free(call.data);
        return;
    }
    call.length = (size_t)length;
    calls_begin(s, id, call, json_bool(json_get(line, "wait"), 1));
}

static void do_open(long long id, long number, const char *line)
{
    struct sock *s = sock_fresh(number);
    if (s == NULL || !endpoint(json_get(line, "local"), &s->local, &s->local_port) ||
        !endpoint(json_get(line, "remote"), &s->remote, &s->remote_port))
        answer_error(id, "EINVAL");
    else
        answer_null(id);
}

void verbs_request(long long id, const char *verb, const char *line)
{
    long number = (long)json_int(json_get(line, "socket"), -1);
    struct sock *s = number >= 0 && number < SOCKETS ? sockets[number] : NULL;
    int wait = json_bool(json_get(line, "wait"), 1);

    if (strcmp(verb, "open") == 0) {
        do_open(id, number, line);
    } else if (strcmp(verb, "state") == 0) {
        do_state(id, line);
    } else if (strcmp(verb, "cancel") == 0) {
        calls_cancel(line);
        answer_null(id);
    } else if (s == NULL) {
        answer_error(id, "EBADF");
    } else if (strcmp(verb, "listen") == 0) {
        do_listen(s, id, line);
    } else if (strcmp(verb, "accept") == 0) {
        calls_begin(s, id, (struct call){.what = ACCEPT, .count = (long)json_int(json_get(line, "as"), -1)}, 1);
    } else if (strcmp(verb, "connect") == 0) {
        do_connect(s, id);
    } else if (strcmp(verb, "send") == 0) {
        do_send(s, id, line);
    } else if (strcmp(verb, "recv") == 0) {
        if (json_bool(json_get(line, "urgent"), 0))
            answer_error(id, "EOPNOTSUPP");
        else
            calls_begin(s, id, (struct call){.what = RECV, .count = (long)json_int(json_get(line, "count"), 1)}, wait);
    } else if (strcmp(verb, "shutdown") == 0) {
        do_shutdown(s, id, line);
    } else if (strcmp(verb, "close") == 0 || strcmp(verb, "abort") == 0) {
        sock_close(s, verb[0] == 'a');
        answer_null(id);
    } else if (strcmp(verb, "dispose") == 0) {
        sock_close(s, 1);
        sockets[number] = NULL;
        free(s);
        answer_null(id);
    } else if (strcmp(verb, "setsockopt") == 0) {
        option_set(s, id, line);
    } else if (strcmp(verb, "getsockopt") == 0) {
        option_get(s, id, line);
    } else if (strcmp(verb, "poll") == 0) {
        do_poll(s, id);
    } else {
        answer_error(id, "ENOSYS");
    }
}
