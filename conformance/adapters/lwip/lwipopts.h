/* SPDX-License-Identifier: BSD-3-Clause
 *
 * lwIP as a host would have it: both IP versions, sizes for an Ethernet, everything checked. Profiles define PROFILE_*.
 */
#ifndef LWIPOPTS_H
#define LWIPOPTS_H

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_SOCKET 0
#define LWIP_NETCONN 0
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 1
#define MEM_ALIGNMENT 8
#define PBUF_POOL_BUFSIZE 2048

#define LWIP_IPV4 1
#define LWIP_IPV6 1
#define LWIP_ICMP 1
#define LWIP_ICMP6 1
#define LWIP_RAW 0
#define LWIP_UDP 0
#define LWIP_DHCP 0
#define LWIP_IPV6_MLD 0
#define LWIP_IPV6_AUTOCONFIG 0
#define LWIP_IPV6_DHCP6 0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0
#define IPV6_FRAG_COPYHEADER 1 /* pointers of 64 bits do not fit into a fragment header */
#define LWIP_ND6_QUEUEING 1
#define ARP_QUEUEING 1
#define ETHARP_SUPPORT_STATIC_ENTRIES 1
#define LWIP_HOOK_FILENAME "hooks.h"
#define LWIP_HOOK_ND6_GET_GW(netif, dest) agent_gateway6()

#define LWIP_TCP 1
#define SO_REUSE 1
#define TCP_MSS 1460
#define TCP_SND_BUF 65535
#define TCP_SND_QUEUELEN 200
#define TCP_QUEUE_OOSEQ 1
#define TCP_LISTEN_BACKLOG 1
#define LWIP_TCP_KEEPALIVE 1
#define MEMP_NUM_TCP_SEG 1000
#define MEMP_NUM_TCP_PCB 10000

#if defined(PROFILE_WSCALE) || defined(PROFILE_FULL)
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 3
#define TCP_WND 262144
#elif defined(PROFILE_SMALL)
#define TCP_WND 4096
#else
#define TCP_WND 65535
#endif
#if defined(PROFILE_TIMESTAMPS) || defined(PROFILE_FULL)
#define LWIP_TCP_TIMESTAMPS 1
#endif
#if defined(PROFILE_SACK) || defined(PROFILE_FULL)
#define LWIP_TCP_SACK_OUT 1
#endif

#define LWIP_STATS 0

#endif
