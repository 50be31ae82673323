"""One object a line, as reports and agents speak: JSON in ASCII, as fast as it goes. Imports orjson."""

from __future__ import annotations

import json
from typing import Any

import orjson


def encode(value: object) -> bytes:
    """A value as a line, its end included. What JSON has no word for stands as its `repr`."""
    try:
        line = orjson.dumps(value, repr, orjson.OPT_APPEND_NEWLINE)
        if line.isascii():
            return line
    except TypeError:  # half a surrogate pair, a number beyond 64 bits, keys that are no texts
        pass
    return json.dumps(value, separators=(",", ":"), default=repr).encode() + b"\n"


def decode(line: bytes) -> Any:
    """What a line says. Raises ValueError for what is no JSON, or is nested without end."""
    try:
        return orjson.loads(line)
    except ValueError:  # perhaps one of those that `encode` leaves to the slower one
        try:
            return json.loads(line)
        except RecursionError as problem:
            raise ValueError(f"nested too deeply: {problem}") from None
