"""A process that outlives the tester by some seconds at most, and leaves nothing of it behind (see `guards`).

The tester says over descriptor 3 which agents it has started and which connections it has with a host. When that
channel ends, however the tester died, the agents are killed with all that they started, and the connections are reset:
each gets an ACK that no stack can accept, the answer to which (RFC 9293 section 3.10.7.4) names the number that a RST
must have (RFC 5961 section 3.2). While the tester lives, an agent's output is kept from filling the disk.
Imports the wire's codec at the end only, and the standard library.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import time
from typing import Any

LOOK = 0.5
"""Seconds between two looks at how much the agents have printed."""
MOST_OUTPUT = 1 << 20
"""Octets of an agent's output that stay on the disk after a look."""
ANSWERS = 1.2
"""Seconds that a host's answers are waited for; a stack may answer such segments twice a second only."""
_SOL_PACKET, _PACKET_RX_RING = 263, 5
_LONGEST = 1 << 16


class Guardian:
    """What the tester has, as it was told."""

    def __init__(self) -> None:
        self.agents: dict[int, tuple[int, int]] = {}
        """Process id -> descriptors of the process and of its output."""
        self.wires: dict[str, tuple[int, dict[str, Any]]] = {}
        """Name -> descriptor of the packet socket, and how frames are made for it."""
        self.pairs: dict[str, set[tuple[str, str, int, int]]] = {}

    def hear(self, said: dict[str, Any], fds: list[int]) -> None:
        """Take note of one message of the tester."""
        if "agent" in said:
            self.agents[said["agent"]] = (fds[0], fds[1])
        elif "ended" in said:
            for descriptor in self.agents.pop(said["ended"], ()):
                os.close(descriptor)
        elif "wire" in said:
            self.wires[said["wire"]] = (fds[0], said)
        elif "left" in said:
            descriptor, _ = self.wires.pop(said["left"], (-1, {}))
            self.pairs.pop(said["left"], None)
            if descriptor >= 0:
                os.close(descriptor)
        elif "pair" in said:
            self.pairs.setdefault(said["of"], set()).add(tuple(said["pair"]))
        elif "over" in said:
            self.pairs.get(said["of"], set()).discard(tuple(said["over"]))

    def trim(self) -> None:
        """Take back the room of what agents have printed; they go on behind it."""
        for _, output in self.agents.values():
            with contextlib.suppress(OSError):
                if os.fstat(output).st_blocks * 512 > MOST_OUTPUT:
                    os.ftruncate(output, 0)

    def end(self) -> None:
        """The tester is gone."""
        for pid, (process, _) in self.agents.items():
            gone, _, _ = select.select([process], [], [], 0)
            if not gone:  # else its number may be another's by now
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
        for name, (descriptor, said) in self.wires.items():
            with contextlib.suppress(OSError):
                _reset(descriptor, said, sorted(self.pairs.get(name, ())))


def _reset(descriptor: int, said: dict[str, Any], pairs: list[tuple[str, str, int, int]]) -> None:
    """Reset these connections with a host. Raises OSError when the link is gone."""
    from conformance.tcp.segment import ACK, RST, Segment
    from conformance.wire.codec import Encoder, decode
    from conformance.wire.neighbours import answer

    if not pairs:
        return
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0, fileno=descriptor)
    # The ring was the tester's: without it frames can be received again.
    wire.setsockopt(_SOL_PACKET, _PACKET_RX_RING, bytes(16))
    wire.settimeout(0.05)
    ours, theirs = bytes.fromhex(said["tester_mac"]), bytes.fromhex(said["target_mac"])
    encoders: dict[tuple[bytes, int, int], Encoder] = {}
    for seq in (0, 1 << 31):
        for tester, target, tester_port, target_port in pairs:
            encoder = Encoder(bytes.fromhex(tester), bytes.fromhex(target), ours, theirs)
            encoders[bytes.fromhex(tester), tester_port, target_port] = encoder
            _send(wire, encoder, Segment(ACK, seq, 0, 0), tester_port, target_port)
            time.sleep(1 / said["rate"])  # no faster than the run might send
        until = time.monotonic() + ANSWERS / 2
        while time.monotonic() < until:
            try:
                frame = wire.recv(_LONGEST)
            except TimeoutError:
                continue
            if (reply := answer(frame, ours, lambda address: any(key[0] == address for key in encoders))) is not None:
                wire.send(reply)
            segment = decode(frame)
            address = frame[30:34] if frame[12:14] == b"\x08\x00" else frame[38:54]
            if not isinstance(segment, Segment) or not segment.flags & ACK or segment.flags & RST:
                continue
            known = encoders.get((address, segment.dport, segment.sport))
            if known is not None:
                _send(wire, known, Segment(RST, segment.ack, 0, 0), segment.dport, segment.sport)


def _send(wire: socket.socket, encoder: Any, segment: Any, tester_port: int, target_port: int) -> None:
    segment.sport, segment.dport = tester_port, target_port
    wire.send(encoder.encode(segment))


def main() -> None:
    """Listen to the tester until it is gone."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(15, b"tcp-guardian", 0, 0, 0)  # PR_SET_NAME: for who looks at the processes
    channel = socket.socket(fileno=3)
    guardian = Guardian()
    while True:
        ready, _, _ = select.select([channel], [], [], LOOK if guardian.agents else None)
        if not ready:
            guardian.trim()
            continue
        try:
            data, fds, _, _ = socket.recv_fds(channel, 4096, 2, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            break
        if not data:
            break
        guardian.hear(json.loads(data), list(fds))
    guardian.end()


if __name__ == "__main__":
    main()
