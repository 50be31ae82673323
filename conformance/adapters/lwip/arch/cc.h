/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef ARCH_CC_H
#define ARCH_CC_H

#include <stdio.h>
#include <stdlib.h>

unsigned agent_random(void);
#define LWIP_RAND() agent_random()
#define LWIP_PLATFORM_DIAG(x) do { printf x; } while (0)
#define LWIP_PLATFORM_ASSERT(x) do { printf("assertion failed: %s, %s:%d\n", x, __FILE__, __LINE__); fflush(stdout); abort(); } while (0)

#endif
