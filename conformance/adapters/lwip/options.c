/* SPDX-License-Identifier: BSD-3-Clause */
#include "channel.h"
#include "sockets.h"

#include <string.h>

void option_set(struct sock *s, long long id, const char *line)
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
    struct tcp_pcb *pcb = sock_living(s) ? s->pcb : sock_made(s);
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

void option_get(struct sock *s, long long id, const char *line)
{
    char name[32] = "";
    struct tcp_pcb *pcb = sock_living(s);
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
