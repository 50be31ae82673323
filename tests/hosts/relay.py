"""A relay of our own between two network devices: seeded loss, delay, jitter, duplicates and reordering on the path.

    python relay.py LEFT RIGHT --seed 1 --loss 0.01 --delay 0.0 --jitter 0.02 --duplicate 0 --reorder 0

Times are seconds, the others shares of frames. Jitter keeps the order of frames; a reordered frame is held back by
`HELD` seconds more and is overtaken. Each direction draws its own numbers, four for each frame, whatever is asked.
"""

from __future__ import annotations

import argparse
import heapq
import random
import select
import socket
import time
from dataclasses import dataclass, field

_SOL_PACKET, _PACKET_IGNORE_OUTGOING, _PACKET_ADD_MEMBERSHIP = 263, 23, 1
_ETH_P_ALL = 3
HELD = 0.005


@dataclass
class Path:
    """What happens to the frames of one direction: `fate` says when each leaves (s), once, twice or never."""

    seed: str
    loss: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    _latest: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def fate(self, now: float) -> list[float]:
        """The moments at which a frame that came `now` leaves."""
        lost, shaken, doubled, held = (self._random.random() for _ in range(4))
        if lost < self.loss:
            return []
        moment = now + self.delay + shaken * self.jitter
        if held < self.reorder:
            return [moment + HELD]
        self._latest = moment = max(moment, self._latest)
        return [moment, moment] if doubled < self.duplicate else [moment]


def opened(device: str) -> socket.socket:
    """A packet socket that hears everything on a device but what we send there."""
    packet = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    packet.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    packet.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    packet.bind((device, _ETH_P_ALL))
    packet.setblocking(False)
    return packet


def relay(left: socket.socket, right: socket.socket, there: Path, back: Path) -> None:
    """Carry frames both ways, for ever."""
    waiting: list[tuple[float, int, socket.socket, bytes]] = []
    number = 0
    ways = {left: (right, there), right: (left, back)}
    while True:
        left_time = waiting[0][0] - time.monotonic() if waiting else None
        for ready in select.select([left, right], [], [], None if left_time is None else max(0.0, left_time))[0]:
            while True:
                try:
                    frame = ready.recv(65536)
                except BlockingIOError:
                    break
                to, path = ways[ready]
                for moment in path.fate(time.monotonic()):
                    number += 1
                    heapq.heappush(waiting, (moment, number, to, frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, to, frame = heapq.heappop(waiting)
            try:
                to.send(frame)
            except OSError:
                return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("left")
    parser.add_argument("right")
    parser.add_argument("--seed", default="1")
    for name in ("loss", "delay", "jitter", "duplicate", "reorder"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    asked = vars(parser.parse_args())
    left, right, seed = opened(asked.pop("left")), opened(asked.pop("right")), asked.pop("seed")
    print("ready", flush=True)
    relay(left, right, Path(f"{seed} there", **asked), Path(f"{seed} back", **asked))


if __name__ == "__main__":
    main()
