"""Addresses that no host has, from which the tester speaks: given out, and rested before they are used again.

Imports the targets' contracts and the standard library.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable

from conformance.targets.asked import Network
from conformance.targets.base import Endpoints, IpVersion, TargetError

TESTER_PORTS = range(1024, 65536)
MOST = 1 << 16
"""Addresses of one prefix that are used at most."""


class Phantoms:
    """The tester's addresses out of `prefixes`, without those of `taken` (addresses in octets), and their ports.

    One live case has an address for itself. Tester ports go round from a random one, so that a four-tuple does not
    come back while a host could remember it.
    """

    def __init__(self, prefixes: Iterable[Network], taken: frozenset[bytes] = frozenset()) -> None:
        self._free: dict[int, deque[bytes]] = {4: deque(), 6: deque()}
        for prefix in prefixes:
            first = 1 if prefix.num_addresses > 2 else 0
            last = min(prefix.num_addresses - (first if prefix.version == 4 else 0), MOST)
            for number in range(first, last):
                address = prefix[number].packed
                if address not in taken:
                    self._free[prefix.version].append(address)
        self._port = random.randrange(len(TESTER_PORTS))
        self._live: dict[bytes, int] = {}

    def count(self, version: IpVersion) -> int:
        """Free addresses."""
        return len(self._free[version])

    def take(self, version: IpVersion) -> bytes:
        """An address that no live case has. Raises TargetError when there is none."""
        if not self._free[version]:
            raise TargetError(f"every IPv{version} address of --source is in use: give more of them")
        return self._free[version].popleft()

    def pair(self, version: IpVersion, tester: bytes, target: bytes, target_port: int) -> Endpoints:
        """A pair from that address, with a port that comes back only when all have had their turn."""
        self._port += 1
        self._live[tester] = self._live.get(tester, 0) + 1
        return Endpoints(version, tester, target, TESTER_PORTS[self._port % len(TESTER_PORTS)], target_port)

    def lent(self, pair: Endpoints) -> bool:
        """Its address is one of these, and in use."""
        return pair.tester in self._live

    def release(self, pair: Endpoints) -> None:
        """Give a pair back: its address rests, behind all others, once it has none left. Safe to call twice."""
        left = self._live.get(pair.tester, 0) - 1
        if left > 0:
            self._live[pair.tester] = left
        elif self._live.pop(pair.tester, None) is not None:
            self._free[pair.version].append(pair.tester)
