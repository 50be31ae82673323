"""The holder: a small process that owns the private network namespace of the own kernel as target.

Run as `python -m conformance.targets.holder FD`, FD being one end of a SOCK_SEQPACKET socket pair, over which it is
sent one end of another such pair for each namespace that is wanted, and forks a holder for it. It forks here, because
a fork of the parent would hold copies of the agent's sockets until its exec, and a close() in that moment would send
no FIN. A holder makes the
namespace (with a user namespace around it when it may not do so otherwise), the veth pair, addresses, routes and
sysctls, and hands file descriptors back with SCM_RIGHTS: a packet socket, a netlink socket, counters, and sockets
for the agent in batches. The parent never changes namespace. At end of file, however the parent died, it destroys
every socket of the namespace and exits; nothing is left behind.

The protocol: one JSON object per message, each way; each request has one answer, in order, which is `{"error": ...}`
when it failed, with `"denied": errno` when the machine forbids it. First comes
`{"defaults": {name: value}, "sysctls": {name: value}}`, which sets everything up (`defaults` are sysctls that an older
kernel may lack), then any number of `{"sockets": 4 or 6, "count": n}`.

Imports as little as possible, for it stands in the way of the first segment.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys
from pathlib import Path

from conformance.targets import inet_diag
from conformance.targets.rtnetlink import Route

MAXIMUM_BATCH = 250
"""SCM_MAX_FD is 253: so many descriptors fit in one message."""

TARGET_V4, TARGET_V6 = "192.0.2.1", "2001:db8:ffff::1"
ROUTER_V4, ROUTER_V6 = "192.0.2.254", "2001:db8:ffff::fe"
TARGET_MAC = "02:00:5e:00:00:01"
FAR_MAC = "02:00:5e:00:00:02"
ROUTER_MAC = "02:00:5e:00:00:fe"
"""Never the far end's own: frames to it must be somebody else's business there."""
QUICK_ACK = ("198.18.0.0/16", "2001:db8::/34")
DELAYED_ACK = ("198.19.0.0/16", "2001:db8:4000::/34")
"""The phantom hosts' prefixes, each pair IPv4 and IPv6: with and without the route metric `quickack 1`."""

MTU = 1500

_SYSCTLS = Path("/proc/sys")
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCETHTOOL = 0x8946
_OFFLOADS = {"tx-checksum": 0x17, "tso": 0x1F, "gso": 0x24, "rx-checksum": 0x15, "gro": 0x2C}
"""ETHTOOL_S*: with the first three on, segments are larger than the link carries and have no checksums."""
_MUST_BE_OFF = {"tx-checksum", "tso", "gso"}
_ETH_P_ALL = 0x0003
_PACKET_IGNORE_OUTGOING = 23
_SOL_PACKET = 263


class HolderError(Exception):
    """What could not be had, in one line for the user, with what would help."""


class Denied(OSError):
    """The machine allows us no network namespace of our own."""


def main(control_fd: int) -> None:
    """Fork holders for the parent until it closes its end or dies."""
    # Ctrl-C and a closing terminal reach the whole group; the parent decides what they mean for us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a holder ended
    raise_file_limit()
    with socket.socket(fileno=control_fd) as orders:
        while True:
            order, fds, _, _ = socket.recv_fds(orders, 16, 1, socket.MSG_CMSG_CLOEXEC)
            if not order:
                return
            if os.fork() == 0:
                orders.close()
                hold(socket.socket(fileno=fds[0]))
                return
            os.close(fds[0])


def hold(control: socket.socket) -> None:
    """Own a namespace, and serve the parent over `control` until it closes its end or dies."""
    with control:
        try:
            enter_namespace()
        except Denied as problem:
            # Left unread, the request would turn the answer into a connection reset.
            control.recv(1 << 16)
            _answer(control, {"error": str(problem), "denied": problem.errno})
            return
        try:
            _serve(control)
        except OSError:
            pass  # the parent is gone in the middle of an answer: as good as the end of file
        finally:
            _leave()


def _serve(control: socket.socket) -> None:
    while request := control.recv(1 << 16):
        asked = json.loads(request)
        descriptors: list[int] = []
        try:
            answer: dict[str, object] = {}
            if "sockets" in asked:
                family = socket.AF_INET if asked["sockets"] == 4 else socket.AF_INET6
                _fill(descriptors, family, asked["count"])
            else:
                answer = _set_up(asked, descriptors)
        except (HolderError, ImportError) as problem:
            answer = {"error": str(problem)}
        except OSError as problem:
            answer = {"error": str(problem)}
            if problem.errno in (errno.EPERM, errno.EACCES):
                # Ubuntu grants the namespaces, but then no rights in them.
                answer["denied"] = problem.errno
        try:
            _answer(control, answer, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        if "sockets" in asked:
            # While a copy is open here, a close() there is not the last one, and the kernel sends no FIN.
            _answer(control, {"let_go": len(descriptors)})


def _answer(control: socket.socket, answer: dict[str, object], descriptors: list[int] | None = None) -> None:
    with contextlib.suppress(BrokenPipeError):
        socket.send_fds(control, [json.dumps(answer).encode()], descriptors or [])


def raise_file_limit() -> None:
    """As many open files as we may have: 2,000 cases have more than 1,024, and those on their way count here too."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def enter_namespace() -> None:
    """Unshare the network namespace, inside a user namespace of our own when that is the only way.

    Raises Denied; the parent, which is outside, finds out which setting of the machine it is.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) == 0:
        return
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        raise Denied(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        # user_namespaces(7): a group may be mapped without privilege only once setgroups is given up.
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as problem:
        raise Denied(problem.errno, problem.strerror) from problem


def _read(path: Path) -> str | None:
    """A setting with its white space made even; None when it can't be read."""
    try:
        return " ".join(path.read_text().split())
    except OSError:
        return None


def _set_up(asked: dict[str, dict[str, str]], descriptors: list[int]) -> dict[str, object]:
    # A link made later takes this over: steering over several CPUs would let a later reply overtake an earlier one.
    with contextlib.suppress(OSError):
        Path("/proc/sys/net/core/rps_default_mask").write_text("0")
    quickack = _set_links_up()
    offloads = {name: _switch_offloads_off(name) for name in ("v0", "v1")}
    chosen = _set_sysctls(asked["defaults"], asked["sysctls"])
    packet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    packet.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    packet.bind(("v1", _ETH_P_ALL))
    descriptors.append(packet.detach())
    descriptors.append(inet_diag.open_socket().detach())
    # Opened here, the file stays bound to this namespace wherever it is read.
    descriptors.append(os.open("/proc/self/net/netstat", os.O_RDONLY | os.O_CLOEXEC))
    return {
        "namespace": Path("/proc/self/ns/net").stat().st_ino,
        "user_namespace": Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"],
        "mtu": MTU,
        "pid": os.getpid(),
        "quickack": quickack,
        "offloads": offloads,
        "sysctls_set": chosen,
        "sysctls": {
            ".".join(path.relative_to(_SYSCTLS).parts): _read(path)
            for pattern in ("net/ipv4/conf/all/accept_source_route", "net/ipv4/tcp_*")
            for path in sorted(_SYSCTLS.glob(pattern))
        },
    }


def _set_links_up() -> list[str]:
    """Make the veth pair, the phantom router and its routes; return the prefixes whose route shows quickack."""
    with contextlib.closing(Route()) as route:
        route.veth("v0", TARGET_MAC, "v1", FAR_MAC, MTU)
        near, far, loopback = (socket.if_nametoindex(name) for name in ("v0", "v1", "lo"))
        # Before the links come up: no link-local address, no router solicitation, no address check, no MLD for them.
        for name, value in (("v0/addr_gen_mode", "1"), ("v0/accept_dad", "0"), ("v0/accept_ra", "0"),
                            ("v1/disable_ipv6", "1")):  # fmt: skip
            Path("/proc/sys/net/ipv6/conf", name).write_text(value)
        route.up(loopback)
        route.up(near)
        route.up(far, arp=False)
        for address, prefix, router in ((TARGET_V4, 24, ROUTER_V4), (TARGET_V6, 64, ROUTER_V6)):
            route.address(near, address, prefix)
            route.neighbour(near, router, ROUTER_MAC)
        for prefixes, quick in ((QUICK_ACK, True), (DELAYED_ACK, False)):
            for subnet, router in zip(prefixes, (ROUTER_V4, ROUTER_V6), strict=True):
                route.route(near, subnet, router, quickack=quick)
        shown = route.quickack_routes()
    # A misspelt or unknown metric is ignored without an error: what the route shows is what holds.
    if sorted(shown) != sorted(QUICK_ACK):
        raise HolderError(f"this kernel does not keep the route metric quickack: shown for {shown or 'no route'}")
    return shown


def _set_sysctls(defaults: dict[str, str], asked: dict[str, str]) -> dict[str, str]:
    """Set both, `asked` last; return what was set. Raises HolderError naming the setting that is wrong."""
    done = {}
    for name, value in (defaults | asked).items():
        path = _SYSCTLS / name.replace(".", "/")
        if not path.exists():
            if name in asked:
                raise HolderError(f"sysctl {name}: this kernel has no such setting in a network namespace")
            continue
        try:
            path.write_text(value)
        except OSError as problem:
            hint = ": run the container with --privileged" if problem.errno == errno.EROFS else ""
            raise HolderError(f"sysctl {name}={value}: {problem.strerror}{hint}") from problem
        # Some are clamped, and some ignore what they don't understand, without an error.
        if (kept := _read(path)) is not None and kept != " ".join(value.split()) and name in asked:
            raise HolderError(f"sysctl {name}={value}: the kernel made it {kept}")
        done[name] = value
    return done


def _switch_offloads_off(name: str) -> list[str]:
    """Return what is known to be off now; raises HolderError when one that would falsify verdicts stays on."""
    off = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for what, command in _OFFLOADS.items():
            value = ctypes.create_string_buffer(struct.pack("=II", command, 0))
            request = struct.pack("16sP16x", name.encode(), ctypes.addressof(value))
            try:
                fcntl.ioctl(handle, _SIOCETHTOOL, request)
                off.append(what)
            except OSError as problem:
                if what in _MUST_BE_OFF:
                    raise HolderError(f"cannot switch {what} off on {name}: {problem}") from problem
    return off


def _fill(descriptors: list[int], family: int, count: int) -> None:
    """Open sockets for the agent: nonblocking, and SO_REUSEADDR so that what an earlier case left never bars a bind."""
    for _ in range(min(count, MAXIMUM_BATCH)):
        one = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, 0)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        descriptors.append(one.detach())


def _leave() -> None:
    """Destroy every socket: the namespace then goes with this process."""
    # What SOCK_DESTROY does not reach gives up after one retransmission. Only now, for it alters FIN-WAIT-1.
    with contextlib.suppress(OSError):
        Path("/proc/sys/net/ipv4/tcp_orphan_retries").write_text("1")
    with contextlib.suppress(OSError), inet_diag.open_socket() as netlink:
        # Aborting a listener resets its children; whoever closes at the same moment may leave another orphan.
        for _ in range(3):
            if not inet_diag.destroy_all(netlink):
                break


if __name__ == "__main__":
    main(int(sys.argv[1]))
