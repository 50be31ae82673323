"""What an agent declares in its hello, as capabilities of its target (docs/adapters.md, Beginning)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.targets.base import Capabilities, IpVersion, TargetError

LONGEST = 3600
"""Seconds that an agent may declare of anything."""
_VERSIONS: tuple[IpVersion, IpVersion] = (4, 6)


def capabilities(said: Mapping[str, Any], ip: frozenset[IpVersion] = frozenset(_VERSIONS)) -> Capabilities:
    """The capabilities, of those IP versions at most. Raises TargetError where the hello is not as it should be."""
    try:
        return Capabilities(
            ip=frozenset(version for version in _VERSIONS if version in said["ip"] and version in ip),
            verbs=frozenset(map(str, said["verbs"])),
            links=frozenset({"quick-ack", "delayed-ack"}),
            options=frozenset(map(str, said.get("options", ["mss"]))),
            settings={"timers": "fine", **{str(name): str(value) for name, value in said.get("settings", {}).items()}},
            quick_ack=bool(said.get("quick_ack", False)),
            challenge_interval=_seconds(said, "challenge_interval", 0.0),
            throttles_text=bool(said.get("throttles_text", False)),
            first_repeat=_seconds(said, "first_repeat", 3.5),
            msl=_seconds(said, "msl", 120.0),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as problem:
        raise TargetError(f"the agent's hello is not as the protocol says: {problem!r}"[:200]) from None


def _seconds(said: Mapping[str, Any], name: str, default: float) -> float:
    """A time that somebody will wait for. Raises ValueError, TypeError, OverflowError."""
    seconds = float(said.get(name, default))
    if not 0 <= seconds <= LONGEST:
        raise ValueError(f"{name}: 0 to {LONGEST} seconds, not {seconds}")
    return seconds
