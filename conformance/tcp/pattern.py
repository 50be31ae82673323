"""Octets that tell their position: the payload `(n)` of the notation.

Each aligned group of four octets at stream offset `o` is the big-endian number `o // 4`, so any four octets say
where in the stream they stand, up to 16 GiB, and a stack that delivers the wrong ones is caught.
"""

from __future__ import annotations

import sys
from array import array

_BLOCK = 1 << 16


def _words(first: int, count: int) -> bytes:
    words = array("I", range(first, first + count))
    if sys.byteorder == "little":
        words.byteswap()
    return words.tobytes()


_HEAD = _words(0, _BLOCK // 4)


def octets(offset: int, length: int) -> bytes:
    """The `length` octets that stand at stream offset `offset` (0 is the first octet after the SYN)."""
    if offset + length <= _BLOCK:
        return _HEAD[offset : offset + length]
    first = offset // 4
    last = (offset + length + 3) // 4
    skip = offset - first * 4
    return _words(first & 0xFFFFFFFF, last - first)[skip : skip + length]
