#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""An agent for PyTCP (docs/adapters.md): the stack on an event loop of virtual time, in one process and one thread.

The stack is brought up once, to where it has claimed its addresses; then a copy of the process serves the tester, and
after a `reset` another copy of the same. So every case finds the stack to the octet as it was at its start.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import errno
import gc
import heapq
import itertools
import json
import os
import random
import secrets
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from importlib.metadata import version
from typing import Any, ClassVar

EPOCH = 1_000_000_000_000
"""The stack's time (ns) when it is brought up; it may take 0 for "never"."""
BOOT = 60_000_000_000
"""ns of its time within which the stack has claimed its addresses."""
AGAIN = 101
"""The exit code of a copy that asks for a fresh one."""
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
PENDING = object()


_Base: Any = asyncio.AbstractEventLoop  # of which the stack takes but a part


class Loop(_Base):  # type: ignore[misc]
    """An event loop whose clock, `now` (ns), moves only as the agent says; what is due at a time keeps its order."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.reader: Callable[[], object] | None = None
        self._ready: collections.deque[asyncio.Handle] = collections.deque()
        self._timers: list[tuple[int, int, asyncio.TimerHandle]] = []
        self._count = itertools.count()

    def time(self) -> float:
        return self.now / 1e9

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (round(when * 1e9), next(self._count), handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name)

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
        self.reader = callback

    def remove_reader(self, fd: Any) -> bool:
        self.reader = None
        return True

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if context.get("exception") is not None:  # asyncio's own loop goes on after it, too
            traceback.print_exception(context["exception"])

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays until its time comes."""

    def settle(self) -> None:
        """Do all that can be done now."""
        while self._ready:
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()

    def next(self) -> int | None:
        """When the next timer is due (ns), None when none is."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def fire(self) -> None:
        """Do what is due now."""
        while (due := self.next()) is not None and due <= self.now:
            self._ready.append(heapq.heappop(self._timers)[2])
        self.settle()

    def run_until(self, to: int) -> None:
        """Let time pass (ns)."""
        self.settle()
        while (due := self.next()) is not None and due <= to:
            self.now = max(self.now, due)
            self.fire()
        self.now = to


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


class Refused(Exception):
    """The request is answered by this errno's name."""


class Held:
    """A socket of the application."""

    def __init__(self, inner: Any, local: tuple[str, int], remote: tuple[str, int]) -> None:
        self.inner, self.local, self.remote = inner, local, remote
        self.bound = False

    def bind(self) -> None:
        """Bind to its address, once."""
        if not self.bound:
            self.inner.bind(self.local)
            self.bound = True


class Sockets:
    """The tester's sockets by its numbers, and the calls on them that are pending, in their order."""

    OWN_UNIT: ClassVar[dict[str, int]] = {"TCP_KEEPIDLE": 1000, "TCP_KEEPINTVL": 1000}
    """Options in seconds of which the stack wants milliseconds."""
    NO_EFFECT = ("SO_SNDBUF",)
    """Options that the stack only keeps."""

    def __init__(self, stack: Stack) -> None:
        self._stack, self._api = stack, stack.api
        self._open: dict[int, Held] = {}
        self._waiting: dict[int, tuple[Held, asyncio.Task[Any], Callable[[Any], object]]] = {}

    @classmethod
    def verbs(cls) -> list[str]:
        """What is declared."""
        aside = ("dispose", "cancel")
        return sorted(name[3:] for name in dir(cls) if name.startswith("do_") and name[3:] not in aside)

    def ended(self) -> list[tuple[int, dict[str, object]]]:
        """Calls that were pending and are so no more: id and answer."""
        done = [(id_, *call) for id_, call in self._waiting.items() if call[1].done()]
        for id_, *_ in done:
            del self._waiting[id_]
        return [(id_, answer(partial(outcome, task, read))) for id_, _, task, read in done]

    def request(self, said: dict[str, Any]) -> dict[str, object]:
        """Do a verb; the answer."""
        verb = getattr(self, f"do_{said['do']}", None)
        return {"error": "ENOSYS"} if verb is None else answer(lambda: verb(said))

    def _held(self, said: dict[str, Any]) -> Held:
        held = self._open.get(said["socket"])
        if held is None:
            raise Refused("EBADF")
        return held

    def _call(
        self, said: dict[str, Any], held: Held, made: Coroutine[Any, Any, Any], read: Callable[[Any], object]
    ) -> object:
        task = self._stack.loop.create_task(made)
        self._stack.loop.settle()
        if task.done():
            return read(task.result())
        self._waiting[said["id"]] = (held, task, read)
        return PENDING

    def _fresh(self, address: str) -> Any:
        family = self._api.AddressFamily.INET6 if ":" in address else self._api.AddressFamily.INET4
        made = self._api.socket(family, self._api.SocketType.STREAM)
        made.setsockopt(self._api.SOL_SOCKET, self._api.SO_REUSEADDR, 1)
        self._keeps_errors(made, address)
        return made

    def _keeps_errors(self, inner: Any, address: str) -> None:
        """Have the stack keep ICMP errors for the application."""
        version6 = ":" in address
        inner.setsockopt(
            self._api.IPPROTO_IPV6 if version6 else self._api.IPPROTO_IP,
            self._api.IPV6_RECVERR if version6 else self._api.IP_RECVERR,
            1,
        )

    def do_open(self, said: dict[str, Any]) -> None:
        local, remote = ((str(said[end][0]), int(said[end][1])) for end in ("local", "remote"))
        self._open[said["socket"]] = Held(self._fresh(local[0]), local, remote)

    def do_listen(self, said: dict[str, Any]) -> None:
        held = self._held(said)
        held.bind()
        held.inner.listen(backlog=max(1, said["backlog"]))

    def do_accept(self, said: dict[str, Any]) -> object:
        held = self._held(said)
        if held.inner.tcp_session is None:
            raise Refused("EINVAL")

        def taken(result: Any) -> object:
            inner, (address, port) = result
            self._open[said["as"]] = accepted = Held(inner, held.local, (address, port))
            accepted.bound = True
            self._keeps_errors(inner, address)
            return [address, port]

        return self._call(said, held, held.inner.accept(), taken)

    def do_connect(self, said: dict[str, Any]) -> object:
        held = self._held(said)
        held.bind()

        async def connect() -> None:
            try:
                await held.inner.connect(held.remote)
            except OSError:  # a socket that failed is not registered any more: another try takes a new one
                held.inner, held.bound = self._fresh(held.local[0]), False
                raise

        return self._call(said, held, connect(), lambda _: None)

    def do_send(self, said: dict[str, Any]) -> object:
        if said.get("urgent"):
            raise Refused("EOPNOTSUPP")
        held = self._held(said)
        if held.inner.tcp_session is None:
            raise Refused("ENOTCONN")
        return self._call(said, held, held.inner.send(bytes.fromhex(said["data"])), int)

    def do_recv(self, said: dict[str, Any]) -> object:
        if said.get("urgent"):
            raise Refused("EOPNOTSUPP")
        held = self._held(said)
        if held.inner.tcp_session is None:
            raise Refused("ENOTCONN")
        held.inner.setblocking(said.get("wait", True))
        try:
            taking = self._told(held, held.inner.recv(min(said["count"], 65535)))
            return self._call(said, held, taking, lambda octets: octets.hex())
        finally:
            held.inner.setblocking(True)

    async def _told(self, held: Held, call: Coroutine[Any, Any, Any]) -> Any:
        """A call; where the connection timed out, its error is the ICMP error that the stack keeps for who asks."""
        try:
            return await call
        except TimeoutError as late:
            if late.errno != errno.ETIMEDOUT:
                raise
            kept = None
            held.inner.setblocking(False)
            with contextlib.suppress(OSError):
                while True:
                    _, control, *_ = await held.inner.recvmsg(0, 64, self._api.MSG_ERRQUEUE)
                    kept = control[0][2]
            raise OSError(struct.unpack_from("=I", kept)[0], "") if kept is not None else late from late

    def do_shutdown(self, said: dict[str, Any]) -> None:
        held = self._held(said)
        if held.inner.tcp_session is None:
            raise Refused("ENOTCONN")
        held.inner.shutdown({"rd": 0, "wr": 1, "rdwr": 2}[said["how"]])

    def do_close(self, said: dict[str, Any]) -> None:
        self._held(said).inner.close()
        del self._open[said["socket"]]

    def do_abort(self, said: dict[str, Any]) -> None:
        self._held(said).inner.abort()
        del self._open[said["socket"]]

    def _option(self, name: str) -> tuple[int, int]:
        levels = {"SO": "SOL_SOCKET", "TCP": "IPPROTO_TCP", "IP": "IPPROTO_IP", "IPV6": "IPPROTO_IPV6"}
        level, option = levels.get(name.partition("_")[0]), getattr(self._api, name, None)
        if level is None or not isinstance(option, int) or name in self.NO_EFFECT:
            raise Refused("ENOPROTOOPT")
        return getattr(self._api, level), option

    def do_setsockopt(self, said: dict[str, Any]) -> None:
        held, name, value = self._held(said), said["name"], said["value"]
        level, option = self._option(name)
        if name == "SO_RCVBUF":
            # The stack only keeps the option; it takes the bound of its window from here when a socket is made.
            if held.inner.tcp_session is not None:
                raise Refused("ENOPROTOOPT")
            self._stack.sysctl.set("tcp.rcv_wnd_max", value)
            return
        if isinstance(value, list):
            held.inner.setsockopt(level, option, struct.pack("ii", *value))
        else:
            held.inner.setsockopt(level, option, value * self.OWN_UNIT.get(name, 1))

    def do_getsockopt(self, said: dict[str, Any]) -> int:
        held, name = self._held(said), said["name"]
        value = held.inner.getsockopt(*self._option(name))
        if name == "SO_LINGER":
            on, seconds = struct.unpack("ii", value)
            return seconds if on else -1
        if not isinstance(value, int):
            raise Refused("ENOPROTOOPT")
        return value // self.OWN_UNIT.get(name, 1)

    def do_state(self, said: dict[str, Any]) -> str:
        local, remote = ((str(said[end][0]), int(said[end][1])) for end in ("local", "remote"))
        family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET

        def same(address: Any, text: str) -> bool:
            return bytes(address) == socket.inet_pton(family, text)

        listens = False
        for one in self._stack.stack.sockets.values():
            if one.socket_type is not self._api.SocketType.STREAM or one.local_port != local[1]:
                continue
            if same(one.local_ip_address, local[0]) and one.remote_port == remote[1]:
                if same(one.remote_ip_address, remote[0]) and one.state.name != "CLOSED":
                    return str(one.state.name).replace("SYN_RCVD", "SYN_RECEIVED").replace("_", "-")
            elif one.state.name == "LISTEN":
                listens = True
        return "LISTEN" if listens else "CLOSED"

    def do_dispose(self, said: dict[str, Any]) -> None:
        held = self._open.pop(said["socket"], None)
        if held is None:
            return
        for id_, (whose, task, _) in list(self._waiting.items()):
            if whose is held:
                del self._waiting[id_]
                task.cancel()
        self._stack.loop.settle()
        with contextlib.suppress(OSError):
            held.inner.abort()

    def do_cancel(self, said: dict[str, Any]) -> None:
        held, task, _ = self._waiting.pop(said["call"], (None, None, None))
        # A connect that nobody waits for goes on; a recv or accept must not take anything.
        if held is not None and task is not None and held.inner.state.name != "SYN_SENT":
            task.cancel()
            self._stack.loop.settle()


def outcome(task: asyncio.Task[Any], read: Callable[[Any], object]) -> object:
    """What a call that was pending has come to."""
    return read(task.result())


def answer(verb: Callable[[], object]) -> dict[str, object]:
    """What the outcome of a call is on the channel."""
    try:
        value = verb()
    except Refused as problem:
        return {"error": str(problem)}
    except OSError as problem:
        return {"error": errno.errorcode.get(problem.errno or errno.EINVAL, "EIO")}
    except (OverflowError, ValueError):
        return {"error": "EINVAL"}
    return {"pending": True} if value is PENDING else {"ok": value}


class Agent:
    """The channel's other end."""

    def __init__(self, channel: socket.socket, stack: Stack) -> None:
        self._channel, self._stack, self._loop = channel, stack, stack.loop
        self._sockets = Sockets(stack)
        self._start = stack.loop.now
        self._taken = self._given = 0

    def _say(self, *messages: dict[str, object]) -> None:
        self._channel.sendall(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def _flush(self) -> int:
        """Frames and ended calls go out; how many."""
        said: list[dict[str, object]] = []
        said += ({"frame": octets.hex(), "at": at - self._start} for octets, at in self._stack.sent)
        self._given += len(self._stack.sent)
        self._stack.sent.clear()
        said += ({"id": id_, **ended} for id_, ended in self._sockets.ended())
        if said:
            self._say(*said)
        return len(said)

    def _advance(self, said: dict[str, Any]) -> dict[str, object]:
        if said.get("in") != self._taken or not isinstance(said.get("to"), int):
            return {"error": "EPROTO"}
        to = self._start + said["to"]
        self._loop.fire()
        while not self._flush():
            due = self._loop.next()
            if due is None or due > to:
                self._loop.now = max(self._loop.now, to)
                break
            self._loop.now = max(self._loop.now, due)
            self._loop.fire()
        due = self._loop.next()
        after = None if due is None else max(due, self._loop.now) - self._start
        return {"ok": {"now": self._loop.now - self._start, "in": self._taken, "out": self._given, "next": after}}

    def hello(self) -> dict[str, object]:
        """What the agent says of the stack."""
        get = self._stack.sysctl.get
        return {
            "protocol": 1,
            "stack": "PyTCP",
            "version": f"3.0.7 (pmd-pytcp {self._stack.version})",
            "clock": "virtual",
            "frames": "channel",
            "ip": [4, 6],
            "verbs": Sockets.verbs(),
            "options": ["mss", "wscale", "sackOK", "ts"],
            "state": True,
            "reset": True,
            "ports": "exact",
            "msl": get("tcp.time_wait.delay_ms") / 2000,
            "first_repeat": get("tcp.rto.initial_ms") / 1000 + 0.5,
            "challenge_interval": 0
            if self._stack.most_eager
            else (get("tcp.challenge_ack.rate_limit_ms") + 1) / 1000,  # it counts whole ms
            "throttles_text": True,
            "settings": {"ecn": "on", "syncookies": "never", "timestamps": "on", "sack": "on", "window-scaling": "on"},
        }

    def serve(self) -> int:
        """Take the tester's lines until it goes (0) or wants a fresh stack (AGAIN)."""
        self._say({"hello": self.hello()})
        for line in self._channel.makefile("r", encoding="utf-8"):
            said = json.loads(line)
            if "frame" in said:
                self._taken += 1
                self._stack.frame(bytes.fromhex(said["frame"]))
            elif said.get("do") == "reset":
                return AGAIN
            elif said.get("do") == "advance":
                self._say({"id": said["id"], **self._advance(said)})
            elif "do" in said:
                with self._stack.stir():
                    outcome = self._sockets.request(said)
                    self._loop.settle()
                self._flush()
                self._say({"id": said["id"], **outcome})
        return 0


def copy(channel: socket.socket, stack: Stack) -> int:
    """Serve in a copy of this process; its exit code. A copy that a signal ends takes this process with it."""
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code < 0:
            signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
            os.kill(os.getpid(), -code)
        return code
    code = 1
    try:
        stack.enter()
        code = Agent(channel, stack).serve()
    except (AssertionError, ArithmeticError, LookupError, TypeError, AttributeError, RuntimeError):
        traceback.print_exc()  # a call of the stack's that breaks in the middle: the stack has crashed
        sys.stderr.flush()
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        os.abort()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> int:
    """Bring the stack up as the tester says, and serve."""
    channel = socket.socket(fileno=3)
    first = b""
    while not first.endswith(b"\n"):
        octets = channel.recv(1 << 16)
        if not octets:
            return 0
        first += octets
    said = json.loads(first).get("configure")
    if said is None:
        print("the first line is no configure", file=sys.stderr)
        return 1
    profile = sys.argv[1] if len(sys.argv) > 1 else ""
    stack = Stack(said, profile)
    gc.freeze()
    code = AGAIN
    while code == AGAIN:
        code = copy(channel, stack)
    return code


if __name__ == "__main__":
    sys.exit(main())
