#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The agent of a host: does an application's socket calls for a tester (docs/adapters.md, A host).

    python3 agent.py --listen 10.0.0.2:7413 --token-file token     # or the token in CONFORMANCE_TOKEN
    python3 agent.py --stdio                                        # for who has started it

One file of the standard library, Python 3.8 or newer. It serves one controller at a time, who holds the token; binds
only to the addresses under test, connects only to the tester's; opens sockets and nothing else. When the controller
goes, every socket that it asked for is aborted.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import hashlib
import hmac
import ipaddress
import json
import os
import platform
import secrets
import select
import signal
import socket
import stat
import struct
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

PROTOCOL = 1
DEFAULT_PORT = 7413
LONGEST_LINE = 1 << 18
MOST_SOCKETS = 4096
MOST_WAITING = 1 << 20
PROOF_WITHIN = 5.0
SHORTEST_TOKEN = 16
WOULD_BLOCK = (errno.EAGAIN, errno.EINPROGRESS, errno.EALREADY)
LINGER_ZERO = struct.pack("ii", 1, 0)
SIOCATMARK = 0x8905
HOW = {"rd": socket.SHUT_RD, "wr": socket.SHUT_WR, "rdwr": socket.SHUT_RDWR}
READY = {"IN": 0x001, "PRI": 0x002, "OUT": 0x004, "ERR": 0x008, "HUP": 0x010, "RDHUP": 0x2000}
LEVELS = {"SO": socket.SOL_SOCKET, "TCP": socket.IPPROTO_TCP, "IP": socket.IPPROTO_IP, "IPV6": socket.IPPROTO_IPV6}
UNNAMED = {
    **{"TCP_THIN_LINEAR_TIMEOUTS": 16, "TCP_THIN_DUPACK": 17, "TCP_TIMESTAMP": 24},
    **{"TCP_FASTOPEN_CONNECT": 30, "TCP_INQ": 36},
    **{"TCP_RTO_MAX_MS": 44, "TCP_RTO_MIN_US": 45, "TCP_DELACK_MAX_US": 46},
    **{"IP_MTU_DISCOVER": 10, "IP_RECVERR": 11, "IP_MTU": 14, "IP_FREEBIND": 15, "IP_MINTTL": 21},
    **{"IPV6_MTU_DISCOVER": 23, "IPV6_MTU": 24, "IPV6_RECVERR": 25, "IPV6_MINHOPCOUNT": 73},
    **{"SO_RCVBUFFORCE": 33, "SO_SNDBUFFORCE": 32},
}
STATES = ("ESTABLISHED SYN-SENT SYN-RECEIVED FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT CLOSED CLOSE-WAIT LAST-ACK LISTEN CLOSING "
          "SYN-RECEIVED").split()  # fmt: skip
"""By Linux's numbers, from 1."""
SETTINGS = {
    "syncookies": ("tcp_syncookies", {"0": "never", "1": "when-full", "2": "always"}),
    "rfc1337": ("tcp_rfc1337", {"0": "off", "1": "on"}),
    "ecn": ("tcp_ecn", {"0": "off", "1": "on", "2": "passive"}),
    "timestamps": ("tcp_timestamps", {"0": "off", "1": "on", "2": "on"}),
    "sack": ("tcp_sack", {"0": "off", "1": "on"}),
    "window-scaling": ("tcp_window_scaling", {"0": "off", "1": "on"}),
    "abort-on-overflow": ("tcp_abort_on_overflow", {"0": "off", "1": "on"}),
}
SYSCTLS = "/proc/sys/net/ipv4"
Address = Tuple[str, int]
Network = Any


class Refused(Exception):
    """The request can't be answered but by this errno's name."""


class Gone(Exception):
    """The controller has gone, or has to."""


class Waiting:
    """A call that would block: tried again when its descriptor is ready."""

    def __init__(self, id_: int, descriptor: int, event: int, attempt: Callable[[], Any]) -> None:
        self.id, self.descriptor, self.event, self.attempt = id_, descriptor, event, attempt


class Held:
    """A socket of the application."""

    def __init__(self, local: Address, remote: Address) -> None:
        self.local, self.remote = local, remote
        family = socket.AF_INET6 if ":" in local[0] else socket.AF_INET
        self.inner = socket.socket(family, socket.SOCK_STREAM)
        self.inner.setblocking(False)
        self.inner.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            self.inner.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)

    def abort(self) -> None:
        """Close with a RST; safe when it is closed."""
        try:
            self.inner.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        except OSError:
            pass
        self.inner.close()


class Session:
    """One controller, over a pair of descriptors."""

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing
        self.sockets: Dict[int, Held] = {}
        self.waiting: List[Waiting] = []
        self.local: Tuple[str, ...] = ()
        self.testers: List[Network] = []
        self.got, self.rest = bytearray(), bytearray()
        self.parts = ""
        self.ended = False
        for descriptor in {reading, writing}:
            os.set_blocking(descriptor, False)

    # -- lines ----------------------------------------------------------------------------------------------

    def say(self, message: Dict[str, Any]) -> None:
        """Write a line, as far as it goes now."""
        self.rest += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        if len(self.rest) > MOST_WAITING:
            raise Gone("it does not read")
        self.flush()

    def flush(self) -> None:
        """Write on."""
        while self.rest:
            try:
                del self.rest[: os.write(self.writing, self.rest)]
            except BlockingIOError:
                return
            except OSError as problem:
                raise Gone(str(problem)) from None

    def lines(self) -> List[Any]:
        """Whole lines that have come, as JSON; what is none is None."""
        try:
            octets = os.read(self.reading, 1 << 16)
        except BlockingIOError:
            return []
        except OSError as problem:
            raise Gone(str(problem)) from None
        if not octets:
            raise Gone("it has ended")
        *whole, rest = (self.got + octets).split(b"\n")
        self.got = bytearray(rest)
        if len(rest) > LONGEST_LINE:
            raise Gone("a line without end")
        return [parsed(bytes(line)) for line in whole]

    # -- the loop -------------------------------------------------------------------------------------------

    def serve(self, until: Optional[float] = None, first: Optional[Callable[[Any], bool]] = None) -> None:
        """Serve until the controller goes. With `first` its first line must satisfy it before `until` (monotonic s)."""
        try:
            while not self.ended:
                self.turn(until, first)
                if first is not None and self.proved:
                    until = first = None
        except Gone as why:
            tell(f"controller gone: {why}")
        finally:
            for held in self.sockets.values():
                held.abort()

    proved = False

    def turn(self, until: Optional[float], first: Optional[Callable[[Any], bool]]) -> None:
        """Wait for something to happen, and see to it."""
        poll = select.poll()
        poll.register(self.reading, select.POLLIN)
        if self.rest:
            poll.register(self.writing, select.POLLOUT | (select.POLLIN if self.writing == self.reading else 0))
        wanted: Dict[int, int] = {}
        for call in self.waiting:
            wanted[call.descriptor] = wanted.get(call.descriptor, 0) | call.event
        for descriptor, event in wanted.items():
            poll.register(descriptor, event)
        left = None if until is None else max(0, int((until - time.monotonic()) * 1000))
        ready = {descriptor for descriptor, _ in poll.poll(left)}
        if until is not None and time.monotonic() >= until:
            raise Gone("no proof in time")
        self.flush()
        for call in [call for call in self.waiting if call.descriptor in ready]:
            self.try_again(call)
        if self.reading in ready:
            for message in self.lines():
                if first is not None and not self.proved:
                    if not first(message):
                        raise Gone("a wrong proof")
                    self.proved = True
                    continue
                self.take(message)

    def try_again(self, call: Waiting) -> None:
        """Answer a waiting call if it has ended."""
        if call not in self.waiting:
            return
        try:
            value = call.attempt()
        except OSError as problem:
            if problem.errno in WOULD_BLOCK:
                return
            self.say({"id": call.id, "error": name_of(problem)})
        else:
            self.say({"id": call.id, "ok": value})
        self.waiting.remove(call)

    def take(self, message: Any) -> None:
        """Do what a line asks."""
        if not isinstance(message, dict):
            return
        if isinstance(message.get("configure"), dict):
            self.configure(message["configure"])
            return
        if message.get("do") == "part" and message.get("last"):
            whole, self.parts = self.parts + str(message.get("text")), ""
            self.take(parsed(whole.encode()))
            return
        id_ = message.get("id")
        if not isinstance(id_, int):
            return
        try:
            verb = getattr(self, f"do_{message['do']}", None) if message.get("do") in VERBS + OTHERS else None
            if verb is None:
                raise Refused("ENOSYS")
            answer = verb(message)
            if isinstance(answer, Waiting):
                answer.id = id_
                self.waiting.append(answer)
                self.say({"id": id_, "pending": True})
            else:
                self.say({"id": id_, "ok": answer})
        except Refused as why:
            self.say({"id": id_, "error": str(why)})
        except OSError as problem:
            self.say({"id": id_, "error": name_of(problem)})
        except (KeyError, TypeError, ValueError, IndexError, OverflowError, struct.error):
            self.say({"id": id_, "error": "EPROTO"})

    # -- beginning ------------------------------------------------------------------------------------------

    def configure(self, said: Dict[str, Any]) -> None:
        """Take note of the addresses, and say hello."""
        try:
            asked = [str(text).partition("/")[0] for text in said.get("addresses", [])]
            self.local = tuple(str(ipaddress.ip_address(text)) for text in asked)
            self.testers = [ipaddress.ip_network(str(text)) for text in said.get("testers", [])]
        except (ValueError, TypeError):
            raise Gone("addresses that are none") from None
        versions = [6 if ":" in text else 4 for text in self.local if can_bind(text)]
        # What only looks like Linux has tables that do not tell all of its states.
        linux = platform.system() == "Linux" and "CONFORMANCE_STACK" not in os.environ
        settings = {name: words.get(sysctl(what), "") for name, (what, words) in SETTINGS.items()}
        kinds = {"mss": "1", "wscale": sysctl("tcp_window_scaling"), "sackOK": sysctl("tcp_sack"),
                 "ts": sysctl("tcp_timestamps")}  # fmt: skip
        limit = float(sysctl("tcp_invalid_ratelimit") or 0) / 1000
        self.say({"hello": {
            "protocol": PROTOCOL, "stack": os.environ.get("CONFORMANCE_STACK", platform.system()),
            "version": os.environ.get("CONFORMANCE_VERSION", platform.release()),
            "clock": "real", "frames": "device", "ip": sorted(set(versions)),
            "verbs": [verb for verb in VERBS if verb != "atmark" or has_mark()],
            "options": [kind for kind, on in kinds.items() if on != "0"],
            "msl": 30.0, "challenge_interval": limit + 0.05 if limit else 0.0, "quick_ack": False,
            "settings": {name: word for name, word in settings.items() if word},
            "state": linux, "sysctls": all_sysctls(),
            **json.loads(os.environ.get("CONFORMANCE_HELLO", "{}")),  # what is known of a stack that can't be asked
        }})  # fmt: skip

    # -- verbs ----------------------------------------------------------------------------------------------

    def held(self, message: Dict[str, Any]) -> Held:
        """The socket that a request is about."""
        found = self.sockets.get(message["socket"])
        if found is None or found.inner.fileno() < 0:
            raise Refused("EBADF")
        return found

    def call(self, held: Held, event: int, attempt: Callable[[], Any], wait: bool = True) -> Any:
        """Try at once; wait for `event` where it would block."""
        try:
            return attempt()
        except OSError as problem:
            if not wait or problem.errno not in WOULD_BLOCK:
                raise
        return Waiting(0, held.inner.fileno(), event, attempt)

    def do_open(self, message: Dict[str, Any]) -> None:
        """A fresh socket."""
        local, remote = ends(message["local"]), ends(message["remote"])
        number = message["socket"]
        if not isinstance(number, int) or number in self.sockets:
            raise Refused("EINVAL")
        if len(self.sockets) >= MOST_SOCKETS:
            raise Refused("EMFILE")
        if local[0] not in self.local:
            raise Refused("EACCES")
        self.sockets[number] = Held(local, remote)

    def do_listen(self, message: Dict[str, Any]) -> None:
        """Bind and listen."""
        held = self.held(message)
        held.inner.bind(held.local)
        held.inner.listen(int(message["backlog"]))

    def do_accept(self, message: Dict[str, Any]) -> Any:
        """The peer's address and port."""
        held, number = self.held(message), message["as"]
        if not isinstance(number, int) or number in self.sockets:
            raise Refused("EINVAL")

        def attempt() -> List[Any]:
            inner, peer = held.inner.accept()
            inner.setblocking(False)
            accepted = Held.__new__(Held)
            accepted.local, accepted.remote, accepted.inner = held.local, peer[:2], inner
            self.sockets[number] = accepted
            return [peer[0], peer[1]]

        return self.call(held, select.POLLIN, attempt)

    def do_part(self, message: Dict[str, Any]) -> None:
        """A piece of a line that is too long for a serial line."""
        self.parts += str(message["text"])
        if len(self.parts) > LONGEST_LINE:
            raise Gone("a line without end")

    def do_connect(self, message: Dict[str, Any]) -> Any:
        """Bind and connect; only to the tester."""
        held = self.held(message)
        address = ipaddress.ip_address(held.remote[0])
        if not any(address in network for network in self.testers):
            raise Refused("EOPNOTSUPP")  # no word of the stack's
        if held.inner.getsockname()[1] == 0:
            held.inner.bind(held.local)
        mine = held.inner.fileno(), select.POLLOUT
        if any((call.descriptor, call.event) == mine for call in self.waiting):
            held.inner.connect(held.remote)  # a second one, which is answered at once
            return None
        return self.call(held, select.POLLOUT, lambda: held.inner.connect(held.remote))

    def do_send(self, message: Dict[str, Any]) -> Any:
        """Octets taken."""
        held, wait = self.held(message), bool(message.get("wait", True))
        flags = getattr(socket, "MSG_NOSIGNAL", 0) | (socket.MSG_OOB if message.get("urgent") else 0)
        data = bytes.fromhex(message["data"])
        rest = [memoryview(data)]

        def attempt() -> int:
            while True:
                rest[0] = rest[0][held.inner.send(rest[0], flags) :]
                if not rest[0] or not wait:
                    return len(data) - len(rest[0])

        return self.call(held, select.POLLOUT, attempt, wait)

    def do_recv(self, message: Dict[str, Any]) -> Any:
        """Octets read."""
        held, urgent = self.held(message), bool(message.get("urgent"))
        count, flags = min(int(message["count"]), 1 << 16), socket.MSG_OOB if urgent else 0
        event = select.POLLPRI if urgent else select.POLLIN
        return self.call(held, event, lambda: held.inner.recv(count, flags).hex(), bool(message.get("wait", True)))

    def do_shutdown(self, message: Dict[str, Any]) -> None:
        """One direction or both."""
        self.held(message).inner.shutdown(HOW[message["how"]])

    def do_close(self, message: Dict[str, Any]) -> None:
        """Close."""
        self.forget(self.held(message)).inner.close()

    def do_abort(self, message: Dict[str, Any]) -> None:
        """Close with a RST."""
        self.forget(self.held(message)).abort()

    def do_exit(self, message: Dict[str, Any]) -> None:
        """A process that holds the only copy of the socket ends."""
        held = self.forget(self.held(message))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writing)
            for other in self.sockets.values():
                if other is not held:
                    other.inner.close()
            os.read(reading, 1)
            os._exit(0)
        os.close(reading)
        held.inner.close()
        os.close(writing)
        os.waitpid(child, 0)

    def do_setsockopt(self, message: Dict[str, Any]) -> None:
        """By the option's name."""
        value = message["value"]
        raw = struct.pack("ii", *value) if isinstance(value, list) else int(value)
        self.held(message).inner.setsockopt(*option(str(message["name"])), raw)

    def do_getsockopt(self, message: Dict[str, Any]) -> int:
        """The value; of SO_LINGER its seconds, or -1 when it is off."""
        inner, name = self.held(message).inner, str(message["name"])
        if name == "SO_LINGER":
            on, seconds = struct.unpack("ii", inner.getsockopt(*option(name), 8))
            return int(seconds) if on else -1
        return inner.getsockopt(*option(name))

    def do_poll(self, message: Dict[str, Any]) -> List[str]:
        """What is ready."""
        watched = select.poll()
        watched.register(self.held(message).inner, READY["IN"] | READY["PRI"] | READY["OUT"] | READY["RDHUP"])
        ready = next((events for _, events in watched.poll(0)), 0)
        return [name for name, bit in READY.items() if ready & bit]

    def do_atmark(self, message: Dict[str, Any]) -> int:
        """1 at the urgent mark."""
        return int(struct.unpack("i", fcntl.ioctl(self.held(message).inner, SIOCATMARK, bytes(4)))[0])

    def do_state(self, message: Dict[str, Any]) -> str:
        """Linux's own table."""
        local, remote = ends(message["local"]), ends(message["remote"])
        found = "CLOSED"
        file = "/proc/net/tcp6" if ":" in local[0] else "/proc/net/tcp"
        nobody = coded(("::" if ":" in local[0] else "0.0.0.0", 0))
        with open(file, encoding="ascii") as table:
            for line in table:
                fields = line.split()
                if fields[1] == coded(local) and fields[2] == coded(remote):
                    return STATES[int(fields[3], 16) - 1]
                if fields[1] == coded(local) and fields[2] == nobody:
                    found = "LISTEN"
        return found

    def do_dispose(self, message: Dict[str, Any]) -> None:
        """The case is over."""
        held = self.sockets.pop(message["socket"], None)
        if held is not None:
            self.forget(held).abort()

    def do_cancel(self, message: Dict[str, Any]) -> None:
        """Nobody waits for that call."""
        self.waiting = [call for call in self.waiting if call.id != message["call"]]

    def forget(self, held: Held) -> Held:
        """Its calls end with it, unheard."""
        self.waiting = [call for call in self.waiting if call.descriptor != held.inner.fileno()]
        return held


VERBS = "listen accept connect send recv shutdown close abort exit setsockopt getsockopt poll atmark".split()
OTHERS = ["open", "state", "dispose", "cancel", "part"]


def parsed(line: bytes) -> Any:
    """A line's JSON, None when it is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def ends(said: Any) -> Address:
    """An address and port; raises ValueError, TypeError."""
    return str(ipaddress.ip_address(said[0])), int(said[1])


def coded(end: Address) -> str:
    """An end as /proc/net/tcp writes it."""
    packed = ipaddress.ip_address(end[0]).packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{end[1]:04X}"


def option(name: str) -> Tuple[int, int]:
    """Level and number of an option."""
    level, number = LEVELS.get(name.partition("_")[0]), getattr(socket, name, UNNAMED.get(name))
    if level is None or not isinstance(number, int):
        raise Refused("ENOPROTOOPT")
    return level, number


def name_of(problem: OSError) -> str:
    """The errno's name."""
    return errno.errorcode.get(problem.errno or 0, "EIO")


def can_bind(address: str) -> bool:
    """The host has that address, and speaks its version of IP."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as trial:
            trial.bind((address, 0))
    except OSError:
        return False
    return True


def has_mark() -> bool:
    """The kernel tells where the urgent mark is: gVisor's does not."""
    try:
        with socket.socket() as trial:
            fcntl.ioctl(trial, SIOCATMARK, bytes(4))
    except OSError:
        return False
    return True


def sysctl(name: str) -> str:
    """A setting of Linux's TCP, "" where there is none."""
    try:
        with open(f"{SYSCTLS}/{name}", encoding="ascii") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def all_sysctls() -> Dict[str, str]:
    """What the report tells of the kernel's settings."""
    try:
        names = sorted(name for name in os.listdir(SYSCTLS) if name.startswith("tcp_"))
    except OSError:
        return {}
    names += ["conf/all/accept_source_route"]
    found = {"net.ipv4." + name.replace("/", "."): sysctl(name).replace("\t", " ") for name in names}
    return {name: text for name, text in found.items() if text and len(text) < 80 and "key" not in name}


def tell(text: str) -> None:
    """A line for whoever started us."""
    print(text, file=sys.stderr, flush=True)


def token_of(file: Optional[str]) -> str:
    """The token, from a file of one's own or the environment."""
    token = os.environ.pop("CONFORMANCE_TOKEN", "")
    if file is not None:
        if stat.S_IMODE(os.stat(file).st_mode) & 0o077:
            sys.exit(f"{file}: others can read the token; chmod 600 it")
        with open(file, encoding="utf-8") as read:
            token = read.read()
    if len(token.strip()) < SHORTEST_TOKEN:
        sys.exit(f"a token of at least {SHORTEST_TOKEN} characters: --token-file FILE, or CONFORMANCE_TOKEN")
    return token.strip()


def listen(address: str, token: str) -> None:
    """Serve one controller after the other."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, int(port)))
    listener.listen(8)
    tell(f"listening on {address}")
    while True:
        connection, peer = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        challenge = secrets.token_hex(32)
        right = hmac.new(token.encode(), challenge.encode(), hashlib.sha256).hexdigest()

        def proves(message: Any, right: str = right) -> bool:
            proof = message.get("proof") if isinstance(message, dict) else None
            return isinstance(proof, str) and hmac.compare_digest(proof.encode(), right.encode())

        session = Session(connection.fileno(), connection.fileno())
        try:
            session.say({"challenge": challenge})
            session.serve(time.monotonic() + PROOF_WITHIN, proves)
        except Gone as why:
            tell(f"{peer[0]}: {why}")
        finally:
            connection.close()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="The agent of a host under test.")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--listen", metavar="ADDRESS:PORT", help="serve controllers that hold the token")
    where.add_argument("--stdio", action="store_true", help="serve whoever started us, by standard input and output")
    parser.add_argument("--token-file", metavar="FILE", help="the token, in a file that nobody else can read")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        if asked.stdio:
            Session(0, 1).serve()
        else:
            listen(asked.listen, token_of(asked.token_file))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
