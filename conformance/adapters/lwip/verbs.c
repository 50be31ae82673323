/* SPDX-License-Identifier: BSD-3-Clause
 *
 * An application's calls on lwIP's raw API. What the raw API tells by callbacks is kept until a call asks for it.
 */
#include "agent.h"
#include "channel.h"

#include <stdlib.h>
#include <string.h>

#include "lwip/priv/tcp_priv.h"
#include "lwip/tcp.h"

#define SOCKETS 4096
#define LONGEST 65536
#define QUEUE 512

/* A call that waits: what for, and what it needs. */
struct call {
    long long id; /* 0: none */
    enum { NOTHING, ACCEPT, CONNECT, SEND, RECV } what;
    long count; /* RECV: octets wanted; ACCEPT: number of the socket to be */
    uint8_t *data; /* SEND: what is left of it */
    size_t length, taken;
};

struct sock {
    struct tcp_pcb *pcb;
    ip_addr_t local, remote;
    uint16_t local_port, remote_port;
    struct pbuf *unread;
    uint16_t offset; /* octets of its first buffer that were read */
    int end, connected, lingers; /* end of file came; connect ended well; SO_LINGER 0 is set */
    const char *error; /* told by the next call */
    struct sock *queue[QUEUE]; /* of a listener: connections to be accepted */
    int queued;
    struct call calls[4];
};

static struct sock *sockets[SOCKETS];

/* lwIP frees a connection that TIME-WAIT has seen to its end without a word: look before touching it. */
static struct tcp_pcb *living(struct sock *s)
{
    struct tcp_pcb **lists[] = {&tcp_active_pcbs, &tcp_tw_pcbs, &tcp_bound_pcbs, &tcp_listen_pcbs.pcbs};
    for (size_t i = 0; s->pcb != NULL && i < sizeof lists / sizeof *lists; i++)
        for (struct tcp_pcb *p = *lists[i]; p != NULL; p = p->next)
            if (p == s->pcb && p->callback_arg == s)
                return p;
    if (s->pcb != NULL && s->pcb->state == CLOSED && s->connected == -1)
        return s->pcb; /* fresh: in no list yet */
    s->pcb = NULL;
    return NULL;
}

static void answer_int(long long id, long value)
{
    channel_say("{\"id\":%lld,\"ok\":%ld}\n", id, value);
}

static void answer_null(long long id)
{
    channel_say("{\"id\":%lld,\"ok\":null}\n", id);
}

static void answer_error(long long id, const char *name)
{
    channel_say("{\"id\":%lld,\"error\":\"%s\"}\n", id, name);
}

static const char *errno_of(err_t error)
{
    switch (error) {
    case ERR_MEM: case ERR_BUF: return "ENOBUFS";
    case ERR_TIMEOUT: case ERR_ABRT: return "ETIMEDOUT";
    case ERR_RTE: return "EHOSTUNREACH";
    case ERR_INPROGRESS: return "EINPROGRESS";
    case ERR_USE: return "EADDRINUSE";
    case ERR_ALREADY: return "EALREADY";
    case ERR_ISCONN: return "EISCONN";
    case ERR_CONN: case ERR_CLSD: return "ENOTCONN";
    case ERR_RST: return "ECONNRESET";
    default: return "EINVAL";
    }
}

static void finish(struct call *call)
{
    free(call->data);
    memset(call, 0, sizeof *call);
    agent_settled++;
}

/* --- calls that may have to wait: each returns 1 when it has answered ---------------------------------------------- */

static int try_accept(struct sock *s, struct call *call);

static int try_connect(struct sock *s, struct call *call)
{
    if (s->connected == 1) {
        answer_null(call->id);
    } else if (s->error != NULL) {
        answer_error(call->id, s->error);
        s->error = NULL;
        s->connected = -1; /* another try takes a fresh block */
    } else {
        return 0;
    }
    return 1;
}

static int try_send(struct sock *s, struct call *call, int wait)
{
    struct tcp_pcb *pcb = living(s);
    err_t error = ERR_OK;
    if (s->error != NULL) {
        answer_error(call->id, s->error);
        s->error = NULL;
        return 1;
    }
    if (pcb == NULL || (pcb->state != ESTABLISHED && pcb->state != CLOSE_WAIT && pcb->state != SYN_SENT &&
                        pcb->state != SYN_RCVD)) {
        answer_error(call->id, "EPIPE");
        return 1;
    }
    while (call->taken < call->length && tcp_sndbuf(pcb) > 0 && error == ERR_OK) {
        size_t part = LWIP_MIN(call->length - call->taken, tcp_sndbuf(pcb));
        part = LWIP_MIN(part, 0x8000);
        int more = call->taken + part < call->length;
        error = tcp_write(pcb, call->data + call->taken, (u16_t)part, TCP_WRITE_FLAG_COPY | (more ? TCP_WRITE_FLAG_MORE : 0));
        if (error == ERR_OK)
            call->taken += part;
    }
    tcp_output(pcb);
    if (call->taken == call->length || (!wait && call->taken > 0))
        answer_int(call->id, (long)call->taken);
    else if (!wait)
        answer_error(call->id, "EAGAIN");
    else if (error != ERR_OK && error != ERR_MEM)
        answer_error(call->id, errno_of(error));
    else
        return 0;
    return 1;
}

static int try_recv(struct sock *s, struct call *call, int wait)
{
    static uint8_t octets[LONGEST];
    if (s->unread != NULL) {
        u16_t count = (u16_t)LWIP_MIN(call->count, LONGEST - 1);
        u16_t got = pbuf_copy_partial(s->unread, octets, count, s->offset);
        s->offset = (u16_t)(s->offset + got);
        while (s->unread != NULL && s->offset >= s->unread->len) {
            struct pbuf *first = s->unread, *rest = first->next;
            s->offset = (u16_t)(s->offset - first->len);
            if (rest != NULL)
                pbuf_ref(rest); /* else it goes with the first */
            pbuf_free(first);
            s->unread = rest;
        }
        struct tcp_pcb *pcb = living(s);
        if (pcb != NULL)
            tcp_recved(pcb, got);
        channel_say("{\"id\":%lld,\"ok\":", call->id);
        channel_octets(octets, got);
        channel_say("}\n");
    } else if (s->error != NULL) {
        answer_error(call->id, s->error);
        s->error = NULL;
    } else if (s->end) {
        channel_say("{\"id\":%lld,\"ok\":\"\"}\n", call->id);
    } else if (s->connected != 1 && living(s) == NULL) {
        answer_error(call->id, "ENOTCONN");
    } else if (!wait) {
        answer_error(call->id, "EAGAIN");
    } else {
        return 0;
    }
    return 1;
}

static int attempt(struct sock *s, struct call *call, int wait)
{
    switch (call->what) {
    case ACCEPT: return try_accept(s, call);
    case CONNECT: return try_connect(s, call);
    case SEND: return try_send(s, call, wait);
    case RECV: return try_recv(s, call, wait);
    default: return 1;
    }
}

/* Something happened to the socket: whatever waited for it may go on. */
static void stir(struct sock *s)
{
    for (size_t i = 0; i < sizeof s->calls / sizeof *s->calls; i++)
        if (s->calls[i].id && attempt(s, &s->calls[i], 1))
            finish(&s->calls[i]);
}

/* --- lwIP's callbacks ---------------------------------------------------------------------------------------------- */

static err_t on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error)
{
    struct sock *s = arg;
    LWIP_UNUSED_ARG(pcb);
    LWIP_UNUSED_ARG(error);
    if (p == NULL)
        s->end = 1;
    else if (s->unread == NULL)
        s->unread = p;
    else
        pbuf_cat(s->unread, p);
    stir(s);
    return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t length)
{
    LWIP_UNUSED_ARG(pcb);
    LWIP_UNUSED_ARG(length);
    stir(arg);
    return ERR_OK;
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t error)
{
    struct sock *s = arg;
    LWIP_UNUSED_ARG(pcb);
    LWIP_UNUSED_ARG(error);
    s->connected = 1;
    stir(s);
    return ERR_OK;
}

/* The connection is gone, and its block freed. */
static void on_error(void *arg, err_t error)
{
    struct sock *s = arg;
    int connecting = s->connected == 0;
    s->pcb = NULL;
    if (error == ERR_CLSD)
        s->end = 1;
    else
        s->error = connecting && error == ERR_RST ? "ECONNREFUSED" : errno_of(error);
    stir(s);
}

static void adopt(struct sock *s, struct tcp_pcb *pcb)
{
    s->pcb = pcb;
    tcp_arg(pcb, s);
    tcp_recv(pcb, on_received);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_error);
}

static struct sock *fresh(long number)
{
    if (number < 0 || number >= SOCKETS || sockets[number] != NULL)
        return NULL;
    struct sock *s = calloc(1, sizeof *s);
    if (s != NULL)
        s->connected = -1;
    return sockets[number] = s;
}

/* A connection that nobody has accepted yet has a socket of its own already, for its data and its end. */
static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t error)
{
    struct sock *listener = arg;
    if (error != ERR_OK || pcb == NULL)
        return ERR_VAL;
    if (listener->queued == QUEUE)
        return ERR_MEM;
    struct sock *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_MEM;
    s->connected = 1;
    s->remote = pcb->remote_ip, s->remote_port = pcb->remote_port;
    adopt(s, pcb);
    tcp_backlog_delayed(pcb);
    listener->queue[listener->queued++] = s;
    stir(listener);
    return ERR_OK;
}

static int try_accept(struct sock *listener, struct call *call)
{
    char text[64];
    if (listener->queued == 0)
        return 0;
    struct sock *s = listener->queue[0];
    if (call->count < 0 || call->count >= SOCKETS || sockets[call->count] != NULL) {
        answer_error(call->id, "EINVAL");
        return 1;
    }
    memmove(listener->queue, listener->queue + 1, (size_t)--listener->queued * sizeof *listener->queue);
    sockets[call->count] = s;
    struct tcp_pcb *pcb = living(s);
    if (pcb != NULL)
        tcp_backlog_accepted(pcb);
    ipaddr_ntoa_r(&s->remote, text, sizeof text);
    for (char *c = text; *c; c++)
        if (*c >= 'A' && *c <= 'F')
            *c = (char)(*c - 'A' + 'a');
    channel_say("{\"id\":%lld,\"ok\":[\"%s\",%u]}\n", call->id, text, s->remote_port);
    return 1;
}

/* --- the verbs ------------------------------------------------------------------------------------------------------ */

static void begin(struct sock *s, long long id, struct call wanted, int wait)
{
    wanted.id = id;
    if (attempt(s, &wanted, wait)) {
        free(wanted.data);
        return;
    }
    for (size_t i = 0; i < sizeof s->calls / sizeof *s->calls; i++) {
        if (s->calls[i].id == 0) {
            s->calls[i] = wanted;
            channel_say("{\"id\":%lld,\"pending\":true}\n", id);
            return;
        }
    }
    free(wanted.data);
    answer_error(id, "EAGAIN");
}

static int endpoint(const char *value, ip_addr_t *address, uint16_t *port)
{
    char text[64];
    if (json_text(json_at(value, 0), text, sizeof text) < 0 || !ipaddr_aton(text, address))
        return 0;
    *port = (uint16_t)json_int(json_at(value, 1), 0);
    return 1;
}

static struct tcp_pcb *made(struct sock *s)
{
    if (s->pcb == NULL && s->connected == -1) {
        struct tcp_pcb *pcb = tcp_new_ip_type(IP_GET_TYPE(&s->local));
        if (pcb != NULL) {
            ip_set_option(pcb, SOF_REUSEADDR);
            adopt(s, pcb);
        }
    }
    return s->pcb;
}

static void do_listen(struct sock *s, long long id, const char *line)
{
    struct tcp_pcb *pcb = made(s), *listening;
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
    struct tcp_pcb *pcb = made(s);
    err_t error = pcb == NULL ? ERR_ISCONN : tcp_bind(pcb, &s->local, s->local_port);
    if (error == ERR_OK) {
        s->connected = 0;
        error = tcp_connect(pcb, &s->remote, s->remote_port, on_connected);
    }
    if (error != ERR_OK)
        answer_error(id, errno_of(error));
    else
        begin(s, id, (struct call){.what = CONNECT}, 1);
}

static void drop_unread(struct sock *s)
{
    if (s->unread != NULL)
        pbuf_free(s->unread);
    s->unread = NULL;
    s->offset = 0;
}

static void let_go(struct tcp_pcb *pcb)
{
    tcp_arg(pcb, NULL);
    if (pcb->state == LISTEN)
        return;
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    tcp_err(pcb, NULL);
}

static void do_close(struct sock *s, int abort)
{
    struct tcp_pcb *pcb = living(s);
    for (int i = 0; i < s->queued; i++) {
        struct sock *waiting = s->queue[i];
        do_close(waiting, 1);
        free(waiting);
    }
    s->queued = 0;
    if (pcb != NULL) {
        let_go(pcb);
        if ((abort || s->lingers) && pcb->state != LISTEN)
            tcp_abort(pcb);
        else
            tcp_close(pcb);
    }
    s->pcb = NULL;
    s->connected = 0;
    s->error = NULL;
    drop_unread(s);
}

static void do_shutdown(struct sock *s, long long id, const char *line)
{
    char how[8] = "";
    struct tcp_pcb *pcb = living(s);
    json_text(json_get(line, "how"), how, sizeof how);
    if (pcb == NULL || pcb->state == LISTEN) {
        answer_error(id, "ENOTCONN");
        return;
    }
    int both = strcmp(how, "rdwr") == 0;
    if (both) {
        let_go(pcb); /* tcp_shutdown of both directions is tcp_close: the block is not ours any more */
        s->pcb = NULL;
        s->end = 1;
    }
    err_t error = tcp_shutdown(pcb, both || strcmp(how, "rd") == 0, both || strcmp(how, "wr") == 0);
    if (error != ERR_OK)
        answer_error(id, errno_of(error));
    else
        answer_null(id);
}

static void do_setsockopt(struct sock *s, long long id, const char *line)
{
    char name[32] = "";
    const char *said = json_get(line, "value");
    long long value = json_int(said, 0);
    json_text(json_get(line, "name"), name, sizeof name);
    if (strcmp(name, "SO_LINGER") == 0) {
        s->lingers = json_int(json_at(said, 0), 0) && json_int(json_at(said, 1), 1) == 0;
        answer_null(id);
        return;
    }
    struct tcp_pcb *pcb = living(s) ? s->pcb : made(s);
    if (pcb == NULL || pcb->state == LISTEN) {
        answer_error(id, pcb == NULL ? "EINVAL" : "ENOPROTOOPT");
        return;
    }
    if (strcmp(name, "TCP_NODELAY") == 0) {
        if (value)
            tcp_nagle_disable(pcb);
        else
            tcp_nagle_enable(pcb);
    } else if (strcmp(name, "SO_KEEPALIVE") == 0) {
        if (value)
            ip_set_option(pcb, SOF_KEEPALIVE);
        else
            ip_reset_option(pcb, SOF_KEEPALIVE);
    } else if (strcmp(name, "SO_REUSEADDR") == 0) {
        if (value)
            ip_set_option(pcb, SOF_REUSEADDR);
        else
            ip_reset_option(pcb, SOF_REUSEADDR);
    } else if (strcmp(name, "TCP_KEEPIDLE") == 0) {
        pcb->keep_idle = (u32_t)(value * 1000);
    } else if (strcmp(name, "TCP_KEEPINTVL") == 0) {
        pcb->keep_intvl = (u32_t)(value * 1000);
    } else if (strcmp(name, "TCP_KEEPCNT") == 0) {
        pcb->keep_cnt = (u32_t)value;
    } else if (strcmp(name, "SO_RCVBUF") == 0 && value >= TCP_WND && pcb->state == CLOSED) {
        /* lwIP's window is fixed when it is compiled; it is no larger than asked for. */
    } else {
        answer_error(id, "ENOPROTOOPT");
        return;
    }
    answer_null(id);
}

static void do_getsockopt(struct sock *s, long long id, const char *line)
{
    char name[32] = "";
    struct tcp_pcb *pcb = living(s);
    json_text(json_get(line, "name"), name, sizeof name);
    if (strcmp(name, "SO_ERROR") == 0) {
        answer_int(id, s->error == NULL ? 0 : 1);
        s->error = NULL;
    } else if (pcb == NULL || pcb->state == LISTEN) {
        answer_error(id, "EINVAL");
    } else if (strcmp(name, "TCP_MAXSEG") == 0) {
        answer_int(id, pcb->mss);
    } else if (strcmp(name, "TCP_NODELAY") == 0) {
        answer_int(id, tcp_nagle_disabled(pcb) ? 1 : 0);
    } else if (strcmp(name, "SO_KEEPALIVE") == 0) {
        answer_int(id, ip_get_option(pcb, SOF_KEEPALIVE) ? 1 : 0);
    } else {
        answer_error(id, "ENOPROTOOPT");
    }
}

static void do_poll(struct sock *s, long long id)
{
    struct tcp_pcb *pcb = living(s);
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

static void do_cancel(const char *line)
{
    long long wanted = json_int(json_get(line, "call"), 0);
    for (int n = 0; n < SOCKETS; n++)
        for (size_t i = 0; sockets[n] != NULL && i < sizeof sockets[n]->calls / sizeof *sockets[n]->calls; i++)
            if (sockets[n]->calls[i].id == wanted && wanted) {
                free(sockets[n]->calls[i].data);
                memset(&sockets[n]->calls[i], 0, sizeof sockets[n]->calls[i]);
            }
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
    begin(s, id, call, json_bool(json_get(line, "wait"), 1));
}

static void do_open(long long id, long number, const char *line)
{
    struct sock *s = fresh(number);
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
        do_cancel(line);
        answer_null(id);
    } else if (s == NULL) {
        answer_error(id, "EBADF");
    } else if (strcmp(verb, "listen") == 0) {
        do_listen(s, id, line);
    } else if (strcmp(verb, "accept") == 0) {
        begin(s, id, (struct call){.what = ACCEPT, .count = (long)json_int(json_get(line, "as"), -1)}, 1);
    } else if (strcmp(verb, "connect") == 0) {
        do_connect(s, id);
    } else if (strcmp(verb, "send") == 0) {
        do_send(s, id, line);
    } else if (strcmp(verb, "recv") == 0) {
        if (json_bool(json_get(line, "urgent"), 0))
            answer_error(id, "EOPNOTSUPP");
        else
            begin(s, id, (struct call){.what = RECV, .count = (long)json_int(json_get(line, "count"), 1)}, wait);
    } else if (strcmp(verb, "shutdown") == 0) {
        do_shutdown(s, id, line);
    } else if (strcmp(verb, "close") == 0 || strcmp(verb, "abort") == 0) {
        do_close(s, verb[0] == 'a');
        answer_null(id);
    } else if (strcmp(verb, "dispose") == 0) {
        do_close(s, 1);
        sockets[number] = NULL;
        free(s);
        answer_null(id);
    } else if (strcmp(verb, "setsockopt") == 0) {
        do_setsockopt(s, id, line);
    } else if (strcmp(verb, "getsockopt") == 0) {
        do_getsockopt(s, id, line);
    } else if (strcmp(verb, "poll") == 0) {
        do_poll(s, id);
    } else {
        answer_error(id, "ENOSYS");
    }
}
