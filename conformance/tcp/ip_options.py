"""The options of an IPv4 header that cases can name (RFC 791 section 3.1): `ipopt=rr`. Pure octets."""

from __future__ import annotations

KINDS = {"rr": 7, "ts": 68, "lsrr": 131, "unknown": 158}
"""Record route, timestamp, loose source route, and one that RFC 4727 keeps for experiments, so that nobody knows it."""

STATION = bytes((198, 51, 100, 1))
"""The first station of the source route (RFC 5737 section 3: nobody's)."""


def encode(name: str, address: bytes) -> bytes:
    """The option as a sender makes it, padded to a multiple of four octets; `none` is no option.

    Record route and timestamp have room for one entry. The source route is completed; `address` was its last station,
    so that the way back begins there.
    Raises KeyError for a name that is none.
    """
    if name == "none":
        return b""
    kind = KINDS[name]
    if name == "rr":
        return bytes((kind, 7, 4, 0, 0, 0, 0, 0))
    if name == "ts":
        return bytes((kind, 8, 5, 0, 0, 0, 0, 0))
    if name == "lsrr":
        return bytes((kind, 11, 12, *STATION, *address, 0))
    return bytes((kind, 4, 0xC0, 0xDE))


def names(area: bytes) -> tuple[str, ...]:
    """The options of an options area by name, or by number where they have none. Never raises."""
    known = {kind: name for name, kind in KINDS.items()}
    found, at = [], 0
    while at < len(area) and area[at]:
        if area[at] == 1:
            at += 1
            continue
        found.append(known.get(area[at], str(area[at])))
        length = area[at + 1] if at + 1 < len(area) else 0
        if length < 2:
            break
        at += length
    return tuple(found)
