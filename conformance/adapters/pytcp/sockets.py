# SPDX-License-Identifier: GPL-3.0-or-later
"""The application's calls on PyTCP's sockets, by the verbs of the channel."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ClassVar

from stack import Stack

PENDING = object()


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

    def _connected(self, said: dict[str, Any]) -> Held:
        if said.get("urgent"):
            raise Refused("EOPNOTSUPP")
        held = self._held(said)
        if held.inner.tcp_session is None:
            raise Refused("ENOTCONN")
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
        held = self._connected(said)
        return self._call(said, held, held.inner.send(bytes.fromhex(said["data"])), int)

    def do_recv(self, said: dict[str, Any]) -> object:
        held = self._connected(said)
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
        self._connected(said).inner.shutdown({"rd": 0, "wr": 1, "rdwr": 2}[said["how"]])

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
