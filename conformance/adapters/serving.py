# SPDX-License-Identifier: MIT
"""The channel's other end (docs/adapters.md) for an agent in real time: requests become calls of its verbs.

Imports the standard library only: an agent runs in an environment of its own.
"""

from __future__ import annotations

import abc
import asyncio
import errno
import ipaddress
import json
import socket
from collections.abc import Callable, Coroutine
from typing import Any

_CHANNEL = 3
_LONGEST = 1 << 18
"""Octets of a line."""


class Refused(Exception):
    """The request is answered by this errno's name."""


class Agent(abc.ABC):
    """Each verb is a method `do_VERB` of the class made from this: a plain one is done at once, a coroutine may wait.

    A verb raises Refused, or OSError.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._calls: dict[int, asyncio.Task[None]] = {}

    def say(self, message: dict[str, object]) -> None:
        """A line for the tester."""
        self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    @abc.abstractmethod
    async def configure(self, said: dict[str, Any]) -> None:
        """Bring the stack up, and say hello."""

    async def take(self, message: dict[str, Any]) -> None:
        """Do what a line asks; a call that does not end at once goes on beside."""
        if "configure" in message:
            await self.configure(message["configure"])
            return
        id_ = message["id"]
        verb: Callable[[dict[str, Any]], Any] | None = getattr(self, f"do_{message['do']}", None)
        try:
            if verb is None:
                raise Refused("ENOSYS")
            answer = verb(message)
        except (Refused, OSError) as why:
            self.say({"id": id_, "error": self._named(why)})
            return
        if not asyncio.iscoroutine(answer):
            self.say({"id": id_, "ok": answer})
            return
        self.say({"id": id_, "pending": True})
        call = asyncio.ensure_future(self._end(id_, answer))
        self._calls[id_] = call
        call.add_done_callback(lambda _: self._calls.pop(id_, None))

    async def _end(self, id_: int, call: Coroutine[Any, Any, Any]) -> None:
        try:
            self.say({"id": id_, "ok": await call})
        except (Refused, OSError) as why:
            self.say({"id": id_, "error": self._named(why)})

    def _named(self, why: Exception) -> str:
        """The name of an errno."""
        return errno.errorcode.get(why.errno or 0, "EIO") if isinstance(why, OSError) else str(why)

    def do_cancel(self, message: dict[str, Any]) -> None:
        """Nobody waits for that call."""
        call = self._calls.pop(message["call"], None)
        if call is not None:
            call.cancel()


def ends(said: list[Any]) -> tuple[str, int]:
    """An address and port."""
    return str(ipaddress.ip_address(said[0])), int(said[1])


async def serve(agent: Callable[[asyncio.StreamWriter], Agent]) -> None:
    """Speak the protocol until the channel ends."""
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=_CHANNEL), limit=_LONGEST)
    serving = agent(writer)
    while line := await reader.readline():
        await serving.take(json.loads(line))
