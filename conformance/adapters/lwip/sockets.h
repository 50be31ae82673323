/* SPDX-License-Identifier: BSD-3-Clause
 *
 * The application's sockets on lwIP's raw API: what it tells by callbacks is kept until a call asks for it.
 */
#ifndef SOCKETS_H
#define SOCKETS_H

#include <stddef.h>
#include <stdint.h>

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

/* By the tester's numbers. */
extern struct sock *sockets[SOCKETS];

/* --- sockets.c: sockets and lwIP's callbacks --------------------------------------------------------------------- */

/* A socket of this number without a connection, or NULL. */
struct sock *sock_fresh(long number);
/* Its control block, of a fresh one a new one; NULL when it had one and has none any more. */
struct tcp_pcb *sock_made(struct sock *s);
/* Its control block if there still is one. */
struct tcp_pcb *sock_living(struct sock *s);
/* No word of this control block reaches its socket any more. */
void sock_let_go(struct tcp_pcb *pcb);
void sock_close(struct sock *s, int abort);
err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t error);
err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t error);
const char *errno_of(err_t error);

/* --- calls.c: calls that may have to wait ------------------------------------------------------------------------- */

/* Answer a call, now or when it can end; `wait` 0: now. */
void calls_begin(struct sock *s, long long id, struct call wanted, int wait);
/* Something happened to the socket: whatever waited for it may go on. */
void calls_stir(struct sock *s);
/* Forget the call that `line` tells. */
void calls_cancel(const char *line);

/* --- options.c ---------------------------------------------------------------------------------------------------- */

void option_set(struct sock *s, long long id, const char *line);
void option_get(struct sock *s, long long id, const char *line);

#endif
