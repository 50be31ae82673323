/* SPDX-License-Identifier: BSD-3-Clause
 *
 * lwIP learns its IPv6 routers from advertisements only; the tester sends none, so the default route is told here.
 */
#ifndef HOOKS_H
#define HOOKS_H

#include "lwip/ip6_addr.h"

const ip6_addr_t *agent_gateway6(void);

#endif
