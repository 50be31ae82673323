"""What an agent declares in its hello, as capabilities of its target (docs/adapters.md, Beginning)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.targets.base import Capabilities, IpVersion, TargetError

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
            challenge_interval=float(said.get("challenge_interval", 0.0)),
            throttles_text=bool(said.get("throttles_text", False)),
            first_repeat=float(said.get("first_repeat", 3.5)),
            msl=float(said.get("msl", 120.0)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise TargetError(f"the agent's hello is not as the protocol says: {problem!r}") from None
