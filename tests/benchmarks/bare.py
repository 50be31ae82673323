"""The peers of the speed figures: the same segments and calls with no tester around them, and scapy's own building."""

from __future__ import annotations

import random
import struct
import time

from conformance.targets.base import Endpoints, Outcome
from conformance.targets.netns import OwnKernel
from conformance.tcp.segment import ACK, FIN, PSH, RST, SYN
from conformance.wire.base import Inbox

_TCP = struct.Struct("!HHIIBBHHH")


def _sum(data: bytes) -> int:
    total = int.from_bytes(data + b"\0" * (len(data) & 1), "big") % 0xFFFF
    return 0xFFFF - total if total else 0


class Bare:
    """Flows over IPv4, one after the other: what a script with raw sockets does, and nothing of what it means."""

    def __init__(self, target: OwnKernel) -> None:
        self.target, self.wire = target, target.wire

    def flows(self, count: int) -> float:
        """Seconds that `count` flows take."""
        begin = time.perf_counter()
        for _ in range(count):
            self._flow()
        return time.perf_counter() - begin

    def _send(self, pair: Endpoints, flags: int, seq: int, ack: int, text: bytes = b"") -> None:
        head = _TCP.pack(pair.tester_port, pair.target_port, seq, ack, 0x50, flags, 65535, 0, 0)
        pseudo = pair.tester + pair.target + struct.pack("!HH", 6, len(head) + len(text))
        tcp = head[:16] + _sum(pseudo + head + text).to_bytes(2, "big") + head[18:] + text
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0, pair.tester, pair.target)
        ip = ip[:10] + _sum(ip).to_bytes(2, "big") + ip[12:]
        self.wire.send(self.wire.target_mac + self.wire.tester_mac + b"\x08\x00" + ip + tcp)
        self.wire.drain()

    def _flow(self) -> None:
        target, wire, inbox = self.target, self.wire, Inbox()
        pair = target.open_pair(4, "quick-ack")
        wire.attach(pair.tester, inbox)
        listener = target.socket(pair)
        listener.listen(16)
        seq = random.getrandbits(31)
        self._send(pair, SYN, seq, 0)
        seq += 1
        ack = int.from_bytes(inbox.frames.popleft().data[38:42], "big") + 1 & 0xFFFFFFFF
        self._send(pair, ACK, seq, ack)
        accepted = listener.accept()
        assert isinstance(accepted, Outcome)
        sock = accepted.value[0]  # type: ignore[index]
        self._send(pair, PSH | ACK, seq, ack, b"0123456789")
        seq += 10
        sock.recv(100)
        sock.send(b"0123456789")
        wire.drain()
        ack = ack + 10 & 0xFFFFFFFF
        self._send(pair, ACK, seq, ack)
        self._send(pair, ACK, seq - 1, ack, b"\0")
        self._send(pair, FIN | ACK, seq, ack)
        seq += 1
        sock.recv(1)
        self._send(pair, FIN | ACK, seq - 1, ack)
        sock.close()
        wire.drain()
        ack = ack + 1 & 0xFFFFFFFF
        self._send(pair, ACK, seq, ack)
        target.barrier.prove_now()
        self._send(pair, ACK, seq - 1, ack, b"\0")
        flags = [frame.data[47] for frame in inbox.frames]
        assert flags == [ACK, PSH | ACK, ACK, ACK, ACK, FIN | ACK, RST], flags
        listener.dispose()
        wire.detach(pair.tester)
        target.release(pair)


def scapy_builds(count: int) -> float:
    """Seconds that scapy takes to build one segment with options, over `count` of them."""
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import Ether

    begin = time.perf_counter()
    for number in range(count):
        bytes(
            Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
            / IP(src="192.0.2.1", dst="192.0.2.2")
            / TCP(sport=1, dport=2, seq=number, ack=7, flags="PA", options=[("MSS", 1460)])
            / b"0123456789"
        )
    return (time.perf_counter() - begin) / count
