/* SPDX-License-Identifier: BSD-3-Clause
 *
 * Calls that may have to wait: each `try` returns 1 when it has answered.
 */
#include "agent.h"
#include "channel.h"
#include "sockets.h"

#include <stdlib.h>
#include <string.h>

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
    struct tcp_pcb *pcb = sock_living(s);
    if (pcb != NULL)
        tcp_backlog_accepted(pcb);
    ipaddr_ntoa_r(&s->remote, text, sizeof text);
    for (char *c = text; *c; c++)
        if (*c >= 'A' && *c <= 'F')
            *c = (char)(*c - 'A' + 'a');
    channel_say("{\"id\":%lld,\"ok\":[\"%s\",%u]}\n", call->id, text, s->remote_port);
    return 1;
}

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
    struct tcp_pcb *pcb = sock_living(s);
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
        struct tcp_pcb *pcb = sock_living(s);
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
    } else if (s->connected != 1 && sock_living(s) == NULL) {
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

static void finish(struct call *call)
{
    free(call->data);
    memset(call, 0, sizeof *call);
    agent_settled++;
}

void calls_stir(struct sock *s)
{
    for (size_t i = 0; i < sizeof s->calls / sizeof *s->calls; i++)
        if (s->calls[i].id && attempt(s, &s->calls[i], 1))
            finish(&s->calls[i]);
}

void calls_begin(struct sock *s, long long id, struct call wanted, int wait)
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

void calls_cancel(const char *line)
{
    long long wanted = json_int(json_get(line, "call"), 0);
    for (int n = 0; n < SOCKETS; n++)
        for (size_t i = 0; sockets[n] != NULL && i < sizeof sockets[n]->calls / sizeof *sockets[n]->calls; i++)
            if (sockets[n]->calls[i].id == wanted && wanted) {
                free(sockets[n]->calls[i].data);
                memset(&sockets[n]->calls[i], 0, sizeof sockets[n]->calls[i]);
            }
}
