/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef AGENT_H
#define AGENT_H

#include <stdint.h>

/* Time of the stack in ns since it was set up. */
extern uint64_t agent_now;
/* Calls that had been pending and have ended, since the start: tells `advance` to stop. */
extern unsigned long agent_settled;

/* Do what a request asks, and answer it. */
void verbs_request(long long id, const char *verb, const char *line);

#endif
