"""The suite's own cases, which tests have read to their last step: a run need not do that again before it begins.

`checked.json` names them by what they say (digest of the text) and has the seconds that their variations wait; it is
made by `python -m mutations.decided` in `tests/` and held against the cases by a test. A case that was changed is not
in it, and is checked as any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

CHECKED = Path(__file__).with_name("checked.json")

Waits = Mapping[str, Sequence[float]]
"""Digest -> seconds (`conformance.engine.estimate`): one for all variations, or one for each in their order."""


@cache
def load(path: Path = CHECKED) -> Waits:
    """The table; empty where it is not there."""
    try:
        found: dict[str, list[float]] = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return {}
    return found
