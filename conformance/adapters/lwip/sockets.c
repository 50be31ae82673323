/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The application's sockets, and what lwIP tells of them.
 */
#include "sockets.h"

#include <stdlib.h>

#include "lwip/priv/tcp_priv.h"

struct sock *sockets[SOCKETS];

/* lwIP frees a connection that TIME-WAIT has seen to its end without a word: look before touching it. */
struct tcp_pcb *sock_living(struct sock *s)
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

const char *errno_of(err_t error)
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
    calls_stir(s);
    return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t length)
{
    LWIP_UNUSED_ARG(pcb);
    LWIP_UNUSED_ARG(length);
    calls_stir(arg);
    return ERR_OK;
}

err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t error)
{
    struct sock *s = arg;
    LWIP_UNUSED_ARG(pcb);
    LWIP_UNUSED_ARG(error);
    s->connected = 1;
    calls_stir(s);
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
    calls_stir(s);
}

static void sock_adopt(struct sock *s, struct tcp_pcb *pcb)
{
    s->pcb = pcb;
    tcp_arg(pcb, s);
    tcp_recv(pcb, on_received);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_error);
}

/* A connection that nobody has accepted yet has a socket of its own already, for its data and its end. */
err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t error)
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
    sock_adopt(s, pcb);
    tcp_backlog_delayed(pcb);
    listener->queue[listener->queued++] = s;
    calls_stir(listener);
    return ERR_OK;
}

/* --- the life of a socket ------------------------------------------------------------------------------------------ */

struct sock *sock_fresh(long number)
{
    if (number < 0 || number >= SOCKETS || sockets[number] != NULL)
        return NULL;
    struct sock *s = calloc(1, sizeof *s);
    if (s != NULL)
        s->connected = -1;
    return sockets[number] = s;
}

struct tcp_pcb *sock_made(struct sock *s)
{
    if (s->pcb == NULL && s->connected == -1) {
        struct tcp_pcb *pcb = tcp_new_ip_type(IP_GET_TYPE(&s->local));
        if (pcb != NULL) {
            ip_set_option(pcb, SOF_REUSEADDR);
            sock_adopt(s, pcb);
        }
    }
    return s->pcb;
}

static void drop_unread(struct sock *s)
{
    if (s->unread != NULL)
        pbuf_free(s->unread);
    s->unread = NULL;
    s->offset = 0;
}

void sock_let_go(struct tcp_pcb *pcb)
{
    tcp_arg(pcb, NULL);
    if (pcb->state == LISTEN)
        return;
    tcp_recv(pcb, NULL);
    tcp_sent(pcb, NULL);
    tcp_err(pcb, NULL);
}

void sock_close(struct sock *s, int abort)
{
    struct tcp_pcb *pcb = sock_living(s);
    for (int i = 0; i < s->queued; i++) {
        struct sock *waiting = s->queue[i];
        sock_close(waiting, 1);
        free(waiting);
    }
    s->queued = 0;
    if (pcb != NULL) {
        sock_let_go(pcb);
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
