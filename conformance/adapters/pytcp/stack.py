# SPDX-License-Identifier: GPL-3.0-or-later
"""PyTCP itself, on the loop of virtual time: brought up, its frames, and where it is made to wait less often."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import secrets
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from loop import EPOCH, Loop

BOOT = 60_000_000_000
"""ns of its time within which the stack has claimed its addresses."""
DESCRIPTOR = -1
"""Of the stack's device; nothing of the system is behind it."""
TICK = 20_000
"""ns after which the stack answers a SYN, for its own 1 ms: that is the grain of its timers, no delay that it means to
make, and the tester takes for silence what does not come before time passes."""
EAGER = 3
"""With the profile `unthrottled`: so many more times it goes on after a TICK when it was stirred, in any state. It
sends text and FIN at its next 1 ms, and where no time passes it would never."""
IDLE, REST = 100, 100
"""After so many ticks (1 ms) at which a connection with something unacknowledged has sent nothing it ticks only every
so many ms until something happens. What has a time of its own comes at that time all the same."""
PROFILES: dict[str, dict[str, object]] = {
    "": {},
    "long-time-wait": {"tcp.time_wait.delay_ms": 240_000},
    "unthrottled": {},
}


class Stack:
    """PyTCP with its one device. Frames that it has sent are in `sent`: octets, and its time (ns)."""

    def __init__(self, said: dict[str, Any], profile: str) -> None:
        self.loop = loop = Loop()
        self.sent: list[tuple[bytes, int]] = []
        self.total = 0
        """Frames sent, ever."""
        self.stirred = False
        """A frame or a call is being taken: no timer is."""
        self.most_eager = EAGER if profile == "unthrottled" else 0
        self.eager = 0
        self._arrived: collections.deque[bytes] = collections.deque()
        self.enter()
        time.monotonic, time.time, time.monotonic_ns = loop.time, loop.time, lambda: loop.now
        self._seed(int(said.get("seed", 1)))
        import pmd_net_addr as net
        from pmd_pytcp import socket as api
        from pmd_pytcp import stack
        from pmd_pytcp.lib import io_backend
        from pmd_pytcp.protocols.tcp.session.tcp__session__timers import TcpTimerService
        from pmd_pytcp.stack import sysctl

        self.api, self.stack, self.sysctl, self.net = api, stack, sysctl, net
        io_backend.read, io_backend.writev = self._read, self._written
        io_backend.set_nonblocking = lambda fd: None
        self.version = version("pmd-pytcp")
        self.addresses = [address.split("/")[0] for address in said["addresses"]]
        hosts = {":" in address: address for address in said["addresses"]}
        gateways = {":" in gateway: gateway for gateway in said["gateways"]}
        if False in gateways:
            stack.IP4_GATEWAY = net.Ip4Address(gateways[False])
        if True in gateways:
            stack.IP6_GATEWAY = net.Ip6Address(gateways[True])
        stack.init(
            fd=DESCRIPTOR,
            layer=stack.InterfaceLayer.L2,
            mtu=int(said["mtu"]),
            mac_address=net.MacAddress(said["mac"]),
            interface_name="tap0",
            ip4_host=net.Ip4IfAddr(hosts[False]),
            ip4_dhcp=False,
            ip6_host=net.Ip6IfAddr(hosts[True]),
            ip6_gua_autoconfig=False,
            sysctls=PROFILES[profile],
        )
        self._rest()
        later = stack.timer.call_later

        def sooner(delay: float, method: Any, /, *args: Any, **kwargs: Any) -> Any:
            state = getattr(getattr(method, "__self__", None), "state", None)  # of the connection that wants to go on
            if delay == 1 and state is not None:
                if self.eager or (self.stirred and state.name == "SYN_RCVD"):
                    delay = TICK / 1e6
                if not self.stirred and self.eager:
                    self.eager -= 1
            return later(delay, method, *args, **kwargs)

        stack.timer.call_later = sooner
        arm = TcpTimerService.arm

        def rarer(service: Any, name: str, delay: int, /) -> None:
            if name == "challenge_ack" and self.most_eager:
                return
            if name == "tx_pump":
                seen, idle = getattr(service, "idle", (None, 0))
                idle = 0 if self.stirred or seen != self.total else idle + 1
                service.idle = (self.total, idle)
                delay = REST if idle > IDLE else delay
            arm(service, name, delay)

        TcpTimerService.arm = rarer
        started = loop.create_task(stack.start())
        loop.run_until(EPOCH + BOOT)
        started.result()
        neighbours = stack.neighbor.interface(stack.STACK__DEFAULT_IFINDEX)
        for gateway in gateways.values():
            ip = net.Ip6Address(gateway) if ":" in gateway else net.Ip4Address(gateway)
            neighbours.add(ip=ip, mac=net.MacAddress(said["router_mac"]))
        owned = {str(address) for address in (*stack.local_ip4_unicast(), *stack.local_ip6_unicast())}
        if missing := set(self.addresses) - owned:
            raise SystemExit(f"the stack has not taken {', '.join(sorted(missing))}")
        self.sent.clear()

    def enter(self) -> None:
        """Make the loop the running one: of a process, so again in each copy."""
        asyncio.events._set_running_loop(self.loop)

    @staticmethod
    def _seed(seed: int) -> None:
        """Have all chance come from the seed."""
        source = random.Random(seed)
        random.seed(seed)
        drawn: Any = secrets
        drawn.token_bytes, drawn.choice = source.randbytes, source.choice
        drawn.randbelow, drawn.randbits = source.randrange, source.getrandbits

    @staticmethod
    def _rest() -> None:
        """Look after neighbours, fragments and DHCP once a minute, not ten times a second: hours have to be short."""
        for name, module in list(sys.modules.items()):
            if name.startswith("pmd_pytcp.") and hasattr(module, "SUBSYSTEM_SLEEP_TIME__SEC"):
                module.SUBSYSTEM_SLEEP_TIME__SEC = 60.0  # type: ignore[attr-defined]

    def _read(self, fd: int, count: int) -> bytes:
        if not self._arrived:
            raise BlockingIOError
        return self._arrived.popleft()

    def _written(self, fd: int, buffers: Any) -> int:
        octets = b"".join(bytes(buffer) for buffer in buffers)
        self.sent.append((octets, self.loop.now))
        self.total += 1
        return len(octets)

    def frame(self, octets: bytes) -> None:
        """A frame arrives now."""
        self._arrived.append(octets)
        with self.stir():
            if self.loop.reader is not None:
                self.loop.reader()
            self.loop.settle()

    @contextlib.contextmanager
    def stir(self) -> Iterator[None]:
        """While something is done to the stack."""
        self.stirred, self.eager = True, self.most_eager
        try:
            yield
        finally:
            self.stirred = False
