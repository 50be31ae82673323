"""TCP options: their wire form and back (RFC 9293 section 3.2, RFC 7323, RFC 2018, RFC 5482, RFC 7413).

An option is a tuple that begins with its name: `("mss", 1460)`, `("wscale", 7)`, `("sackOK",)`, `("ts", val, ecr)`,
`("sack", (left, right), ...)`, `("nop",)`, `("eol",)`, `("fo", cookie octets)`, `("uto", 16-bit value)`,
`("kind", number, data)` for any other kind, and `("raw", octets)` for what is no well-formed option at all.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

Option = tuple[Any, ...]

EOL, NOP, MSS, WSCALE, SACK_OK, SACK, TS, UTO, FAST_OPEN = 0, 1, 2, 3, 4, 5, 8, 28, 34
KINDS = {"mss": MSS, "wscale": WSCALE, "sackOK": SACK_OK, "sack": SACK, "ts": TS, "nop": NOP, "eol": EOL, "uto": UTO}
KINDS["fo"] = FAST_OPEN


def encode_one(option: Option) -> bytes:
    """The octets of one option, without padding. Raises ValueError for a name that is no option."""
    name = option[0]
    if name == "mss":
        return struct.pack("!BBH", MSS, 4, option[1] & 0xFFFF)
    if name == "wscale":
        return struct.pack("!BBB", WSCALE, 3, option[1] & 0xFF)
    if name == "sackOK":
        return b"\x04\x02"
    if name == "ts":
        return struct.pack("!BBII", TS, 10, option[1] & 0xFFFFFFFF, option[2] & 0xFFFFFFFF)
    if name == "sack":
        blocks = option[1:]
        return struct.pack(f"!BB{2 * len(blocks)}I", SACK, 2 + 8 * len(blocks), *(n for b in blocks for n in b))
    if name == "nop":
        return b"\x01"
    if name == "eol":
        return b"\x00"
    if name == "uto":
        return struct.pack("!BBH", UTO, 4, option[1] & 0xFFFF)
    if name == "fo":
        return bytes((FAST_OPEN, 2 + len(option[1]))) + bytes(option[1])
    if name == "kind":
        kind, data = option[1], bytes(option[2])
        length = option[3] if len(option) > 3 and option[3] is not None else 2 + len(data)
        return bytes((kind & 0xFF, length & 0xFF)) + data
    if name == "raw":
        return bytes(option[1])
    raise ValueError(f"{name!r} is no TCP option")


@lru_cache(maxsize=4096)
def encode(options: tuple[Option, ...]) -> bytes:
    """The options area: every option in order, padded with End of Option List to a multiple of four octets."""
    area = b"".join(encode_one(option) for option in options)
    return area + b"\x00" * (-len(area) % 4)


def _one(kind: int, data: bytes) -> Option:
    size = len(data)
    if kind == MSS and size == 2:
        return ("mss", int.from_bytes(data, "big"))
    if kind == WSCALE and size == 1:
        return ("wscale", data[0])
    if kind == SACK_OK and size == 0:
        return ("sackOK",)
    if kind == TS and size == 8:
        return ("ts", *struct.unpack("!II", data))
    if kind == SACK and size and size % 8 == 0:
        return ("sack", *struct.iter_unpack("!II", data))
    if kind == UTO and size == 2:
        return ("uto", int.from_bytes(data, "big"))
    if kind == FAST_OPEN:
        return ("fo", data)
    return ("kind", kind, data)


def decode(area: bytes) -> tuple[Option, ...]:
    """The options of an options area; what is malformed ends the list as one `("raw", octets)`. Never raises."""
    if not area:
        return ()
    if len(area) == 12 and area[:4] == b"\x01\x01\x08\x0a":
        return (("nop",), ("nop",), ("ts", *struct.unpack_from("!II", area, 4)))
    return _decode(area)


@lru_cache(maxsize=1024)
def _decode(area: bytes) -> tuple[Option, ...]:
    found: list[Option] = []
    at, end = 0, len(area)
    while at < end:
        kind = area[at]
        if kind == EOL:
            found.append(("eol",))
            rest = area[at + 1 :]
            if rest.strip(b"\x00"):
                found.append(("raw", rest))
            break
        if kind == NOP:
            found.append(("nop",))
            at += 1
            continue
        length = area[at + 1] if at + 1 < end else 0
        if length < 2 or at + length > end:
            found.append(("raw", area[at:]))
            break
        found.append(_one(kind, area[at + 2 : at + length]))
        at += length
    return tuple(found)


def find(options: tuple[Option, ...], name: str) -> Option | None:
    """The first option of that name, or None."""
    for option in options:
        if option[0] == name:
            return option
    return None
