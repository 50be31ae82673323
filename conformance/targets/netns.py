"""The machine's own kernel as target, in a private network namespace held by a child process (see `holder`).

`OwnKernel.start()` is all that a run needs. Traffic never leaves the namespace, and nothing outlives the process:
the holder cleans up when it loses us, however we died.
Imports the wire, the agent's sockets, the oracle, the holder's constants and the standard library.
"""

from __future__ import annotations

import os
import re
import socket
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Self

from conformance.targets import holder
from conformance.targets.base import Capabilities, Endpoints, IpVersion, Link, Oracle, TargetError, Timekeeper
from conformance.targets.holders import HOLDERS, receive, send
from conformance.targets.inet_diag import InetDiag
from conformance.targets.sockets import VERBS, OwnSocket
from conformance.wire.barrier import ResetBarrier, calibrate
from conformance.wire.base import Barrier, Wire
from conformance.wire.packet import PacketWire
from conformance.wire.ring import RingError

TARGET_ADDRESS: Mapping[IpVersion, bytes] = {
    4: socket.inet_pton(socket.AF_INET, holder.TARGET_V4),
    6: socket.inet_pton(socket.AF_INET6, holder.TARGET_V6),
}
_VERSIONS: tuple[IpVersion, IpVersion] = (4, 6)
_PREFIXES: Mapping[Link, tuple[str, str]] = {"quick-ack": holder.QUICK_ACK, "delayed-ack": holder.DELAYED_ACK}
CLOSED_PORT = 1
"""Never opened: barriers go there. Cases have the ports from 1024 up; nothing binds to an ephemeral port here."""
TARGET_PORTS = range(1024, 65536)
TESTER_PORTS = range(1024, 65536)
BATCH = 200
"""Sockets handed over at a time: 10 us each then, and within SCM_MAX_FD (253)."""
REFILL = 100
"""Ask for the next batch when so few are left; it comes while these are used up."""

_KERNELS_OWN = """
ip_default_ttl=64 ip_no_pmtu_disc=0 tcp_abort_on_overflow=0 tcp_adv_win_scale=1 tcp_dsack=1 tcp_ecn=2
tcp_fastopen=1 tcp_fin_timeout=60 tcp_invalid_ratelimit=500 tcp_keepalive_intvl=75 tcp_keepalive_probes=9
tcp_keepalive_time=7200 tcp_moderate_rcvbuf=1 tcp_mtu_probing=0 tcp_orphan_retries=0 tcp_retries1=3
tcp_retries2=15 tcp_rfc1337=0 tcp_rto_max_ms=120000 tcp_rto_min_us=200000 tcp_sack=1 tcp_shrink_window=0
tcp_slow_start_after_idle=1 tcp_stdurg=0 tcp_syn_linear_timeouts=4 tcp_syn_retries=6 tcp_synack_retries=5
tcp_timestamps=1 tcp_window_scaling=1
"""
# What the kernel begins with, said aloud because verdicts rest on it.

DEFAULT_SYSCTLS = {
    # Room for thousands of half-open, half-closed and resting connections at once.
    "net.core.somaxconn": "65535",
    "net.ipv4.tcp_max_syn_backlog": "65536",
    "net.ipv4.tcp_max_tw_buckets": "262144",
    "net.ipv4.tcp_syncookies": "0",
    # One case must not learn from another, nor throttle it.
    "net.ipv4.tcp_no_metrics_save": "1",
    "net.ipv4.tcp_challenge_ack_limit": "2147483647",
    "net.ipv4.icmp_ratelimit": "0",
    # A new namespace takes these from the machine: the kernel's own defaults instead.
    "net.ipv4.tcp_congestion_control": "reno",
    "net.ipv4.tcp_rmem": "4096 131072 6291456",
    "net.ipv4.tcp_wmem": "4096 16384 4194304",
    "net.ipv4.ip_forward": "0",
    "net.ipv6.conf.all.forwarding": "0",
    "net.ipv4.conf.all.accept_source_route": "0",
    "net.ipv4.conf.v0.accept_source_route": "1",
    "net.ipv4.conf.all.rp_filter": "0",
    "net.ipv4.conf.v0.rp_filter": "0",
}
for _name, _, _value in (setting.partition("=") for setting in _KERNELS_OWN.split()):
    DEFAULT_SYSCTLS[f"net.ipv4.{_name}"] = _value
"""Set before any case runs, where the kernel has them; `--sysctl` overrides them."""

_HEALTH = {"TCPTimeWaitOverflow", "TCPAbortOnMemory", "ListenDrops", "ListenOverflows"}
_HEALTH |= {"TCPReqQFullDrop", "TCPReqQFullDoCookies"}
_SYSCTL_NAME = re.compile(r"net(\.[a-z0-9_-]+)+", re.IGNORECASE)
_RESERVED = 64
"""Addresses at the head of each prefix that no case gets: the barrier's, calibration's, and room for more."""


class OwnKernel:
    """The target (`conformance.targets.base.Target`): make it with `start`, and `close` it.

    Tester addresses and target ports are each given out round robin, so that a four-tuple does not come back while
    the machine could remember it; what was released is used again only when all that is fresh is gone, and then what
    has rested longest. Not safe for use from several threads.
    """

    name = "linux"
    clean_path = True
    life = None
    time: Timekeeper | None = None

    def __init__(self, control: socket.socket, facts: dict[str, Any], fds: list[int]):
        self._control, self._facts = control, facts
        packet, diag, self._netstat = fds
        self._prefixes: dict[tuple[IpVersion, Link], _Prefix] = {
            (version, link): _Prefix(prefix.partition("/")[0], version)
            for link, prefixes in _PREFIXES.items()
            for version, prefix in zip(_VERSIONS, prefixes, strict=True)
        }
        self._live: dict[bytes, tuple[_Prefix, set[int]]] = {}
        self._target_ports: Counter[int] = Counter()
        self._next_target_port = self._next_tester_port = 0
        self._pool: dict[IpVersion, list[int]] = {4: [], 6: []}
        self._asked: deque[IpVersion] = deque()
        self._diag = InetDiag(_adopt(socket.AF_NETLINK, socket.SOCK_RAW, diag))
        self.oracle: Oracle | None = self._diag
        try:
            self.wire: Wire = PacketWire(
                packet, tester_mac=_mac(holder.ROUTER_MAC), target_mac=_mac(holder.TARGET_MAC), mtu=facts["mtu"]
            )
        except RingError as problem:
            raise TargetError(str(problem)) from problem
        self._ask(4)
        self._ask(6)
        quick = {version: self._prefixes[version, "quick-ack"] for version in TARGET_ADDRESS}
        barrier = ResetBarrier(
            self.wire, sources=[quick[4].at(n) for n in range(1, 5)], target=TARGET_ADDRESS[4], closed_port=CLOSED_PORT
        )
        self.barrier: Barrier = barrier
        paths = [(quick[version].at(5), address) for version, address in TARGET_ADDRESS.items()]
        self.calibration = calibrate(self.wire, barrier, paths, closed_port=CLOSED_PORT)
        self.capabilities = _capabilities(facts["sysctls"])

    @classmethod
    def start(cls, sysctls: Mapping[str, str] | None = None) -> Self:
        """Make the namespace and everything in it (0.2 s); `sysctls` go by full name or just `tcp_...`.

        Raises TargetError: namespaces are denied, a sysctl's name or value is wrong, the kernel lacks something.
        """
        asked = {_sysctl_name(name): str(value) for name, value in (sysctls or {}).items()}
        holder.raise_file_limit()
        control = HOLDERS.new()
        try:
            send(control, {"defaults": DEFAULT_SYSCTLS, "sysctls": asked})
            # Its work and this import take as long as each other.
            import scapy.layers.inet6  # noqa: F401

            facts, fds = receive(control)
            return cls(control, facts, fds)
        except BaseException:
            HOLDERS.end(control)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def describe(self) -> dict[str, object]:
        """For the report's header: kernel, addresses, every setting that touches a verdict."""
        system = os.uname()
        return {
            "name": self.name,
            "kernel": f"{system.sysname} {system.release} {system.version} {system.machine}",
            "addresses": [holder.TARGET_V4, holder.TARGET_V6],
            "tester_prefixes": {link: list(prefixes) for link, prefixes in _PREFIXES.items()},
            **self._facts,
        }

    def open_pair(self, version: IpVersion, link: Link) -> Endpoints:
        """A pair with a tester address, and a target port, that no other live case uses.

        Raises TargetError when 65,000 addresses or 64,000 ports are in use at once.
        """
        prefix = self._prefixes[version, link]
        address = prefix.take()
        self._live[address] = (prefix, set())
        return self._pair(version, address, self._fresh_target_port())

    def sibling_pair(self, pair: Endpoints, *, same_target_port: bool) -> Endpoints:
        """A further pair from the same tester address: another tester port, and perhaps another target port."""
        port = pair.target_port if same_target_port else self._fresh_target_port()
        return self._pair(pair.version, pair.tester, port)

    def release(self, pair: Endpoints) -> None:
        """Give the pair back; its address and its port rest once no sibling uses them. Safe to call twice."""
        prefix, tester_ports = self._live.get(pair.tester, (None, set()))
        if prefix is None or pair.tester_port not in tester_ports:
            return
        tester_ports.remove(pair.tester_port)
        if not tester_ports:
            del self._live[pair.tester]
            prefix.give_back(pair.tester)
        self._target_ports[pair.target_port] -= 1
        if not self._target_ports[pair.target_port]:
            del self._target_ports[pair.target_port]

    def socket(self, pair: Endpoints) -> OwnSocket:
        """A fresh socket of the application for this pair.

        Raises TargetError when the process may open no more files, or the holder is gone.
        """
        pool = self._pool[pair.version]
        if len(pool) < REFILL:
            self._replenish(pair.version)
        family = _family(pair.version)
        inner = _adopt(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, pool.pop())  # as the holder made it
        return OwnSocket(inner, pair, self._diag.destroy)

    worlds = 1
    """Its cases don't wait for each other."""

    @property
    def at_once(self) -> int:
        """As many as there are ports and addresses, roughly."""
        return 60_000

    def health(self) -> dict[str, int]:
        """Counters whose rise makes silences doubtful: frames that the wire lost, and the kernel's TcpExt counters."""
        names, values = os.pread(self._netstat, 1 << 16, 0).split(b"\n")[:2]
        counted = zip(names.decode().split(), values.decode().split(), strict=True)
        health = {name: int(value) for name, value in counted if name in _HEALTH}
        return {"dropped": self.wire.counters()["dropped"], **health}

    def close(self) -> None:
        """Tear everything down; nothing of it is left behind. Safe to call twice."""
        if self._control.fileno() < 0:
            return
        self.wire.close()
        self._diag.close()
        for fd in (self._netstat, *self._pool[4], *self._pool[6]):
            os.close(fd)
        # The holder destroys what sockets there still are when it loses us, and the namespace goes with it.
        HOLDERS.end(self._control, self._facts["pid"])

    def _pair(self, version: IpVersion, address: bytes, target_port: int) -> Endpoints:
        taken = self._live[address][1]
        while (port := TESTER_PORTS[self._next_tester_port % len(TESTER_PORTS)]) in taken:
            self._next_tester_port += 1
        self._next_tester_port += 1
        taken.add(port)
        self._target_ports[target_port] += 1
        return Endpoints(version, address, TARGET_ADDRESS[version], port, target_port)

    def _fresh_target_port(self) -> int:
        for _ in TARGET_PORTS:
            port = TARGET_PORTS[self._next_target_port % len(TARGET_PORTS)]
            self._next_target_port += 1
            if port not in self._target_ports:
                return port
        raise TargetError("every port of the target is in use: run fewer cases at a time")

    def _ask(self, version: IpVersion) -> None:
        send(self._control, {"sockets": version, "count": BATCH})
        self._asked.append(version)

    def _replenish(self, version: IpVersion) -> None:
        """Ask for more early, take them late: the holder opens them on its own time."""
        if version not in self._asked:
            self._ask(version)
        elif len(self._pool[version]) > REFILL // 2:
            return
        else:
            while version in self._asked:
                self._take_batch()
        while not self._pool[version]:
            self._take_batch()

    def _take_batch(self) -> None:
        version = self._asked.popleft()
        _, fds = receive(self._control)
        receive(self._control)  # the holder has closed its copies: from here on a close() is the last one
        self._pool[version] += fds
        if len(fds) < BATCH:
            raise TargetError(f"too many open files: only {len(fds)} of {BATCH} sockets came; raise ulimit -n")


class _Prefix:
    """Tester addresses of one prefix: fresh ones first, then the one that has rested longest."""

    def __init__(self, prefix: str, version: IpVersion) -> None:
        self._base = int.from_bytes(socket.inet_pton(_family(version), prefix))
        self._octets = 4 if version == 4 else 16
        # An IPv4 prefix has 65,534 addresses; of an IPv6 one 2^32 are used, more than a run can.
        self._unused = iter(range(_RESERVED, 65_535 if version == 4 else 1 << 32))
        self._resting: deque[bytes] = deque()

    def at(self, number: int) -> bytes:
        return (self._base + number).to_bytes(self._octets)

    def take(self) -> bytes:
        number = next(self._unused, None)
        if number is not None:
            return self.at(number)
        if not self._resting:
            raise TargetError("every tester address is in use: run fewer cases at a time")
        return self._resting.popleft()

    def give_back(self, address: bytes) -> None:
        self._resting.append(address)


# --- the child -----------------------------------------------------------------------------------------------------


def _sysctl_name(name: str) -> str:
    full = f"net.ipv4.{name}" if name.startswith("tcp_") else name
    if not _SYSCTL_NAME.fullmatch(full):
        raise TargetError(f"sysctl {name!r}: not a setting of a network namespace, such as net.ipv4.tcp_sack")
    return full


def _capabilities(sysctls: Mapping[str, str]) -> Capabilities:
    def number(name: str) -> int:
        return int(sysctls.get(f"net.ipv4.tcp_{name}", "0"))

    options = {"mss": 1, "wscale": number("window_scaling"), "sackOK": number("sack"), "ts": number("timestamps")}
    throttle = number("invalid_ratelimit")
    return Capabilities(
        verbs=VERBS,
        links=frozenset({"quick-ack", "delayed-ack"}),
        options=frozenset(option for option, on in options.items() if on),
        settings={
            "syncookies": {0: "never", 2: "always"}.get(number("syncookies"), "when-full"),
            "rfc1337": "on" if number("rfc1337") else "off",
            "abort-on-overflow": "on" if number("abort_on_overflow") else "off",
        },
        challenge_interval=throttle / 1000 + 0.05 if throttle else 0.0,
        # With a cookie the round trip of the handshake is not remembered: the first timeout is the initial one.
        first_repeat=3.5 if number("syncookies") == 2 else 0.0,
        # TIME-WAIT takes 60 s here, whatever tcp_fin_timeout says: TCP_TIMEWAIT_LEN, twice the MSL.
        msl=30.0,
    )


def _family(version: IpVersion) -> socket.AddressFamily:
    return socket.AF_INET if version == 4 else socket.AF_INET6


def _adopt(family: int, kind: int, descriptor: int) -> socket.socket:
    protocol = 4 if family == socket.AF_NETLINK else 0
    return socket.socket(family, kind, protocol, fileno=descriptor)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
