"""The JSON Schema of case files, for editors: made from the tables that the loader itself goes by.

It says which keys there are, what kinds of values they take and which words; the notation inside the values is the
loader's to check (`conformance lint`).
"""

from __future__ import annotations

from typing import Any

from conformance.cases.loader import CASE_KEYS, NEEDS_KEYS, OPTIONS, SETTINGS, START_KEYS
from conformance.cases.steps import ERRNOS, KEYS, VERBS
from conformance.tcp.states import State

Schema = dict[str, Any]

_SCALAR: Schema = {"type": ["string", "number", "boolean", "null"]}
"""An editor's YAML makes numbers and booleans of what stays text here."""
_WORDS = "^[a-z][a-z0-9_]*$"
_PARAMETER = r"^\$"


def _one_of(words: Any, what: str) -> Schema:
    return {"description": what, "anyOf": [{"enum": sorted(words)}, {"type": "string", "pattern": _PARAMETER}]}


def _one_or_more(item: Schema, what: str) -> Schema:
    return {"description": what, "anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


def _text(what: str) -> Schema:
    return {"type": "string", "description": what}


def _scalar(what: str) -> Schema:
    return {**_SCALAR, "description": what}


def _steps(what: str) -> Schema:
    return {"description": what, "type": "array", "items": {"$ref": "#/$defs/step"}}


_STATES = [str(state) for state in State]
_REQUIREMENT = _one_or_more({"type": "string"}, "what breaks when the step does not hold; all of the case's otherwise")

_VALUES: dict[str, Schema] = {
    "as": {"type": "string", "pattern": f"{_WORDS}|{_PARAMETER}", "description": "a name for the segment or the call"},
    "conn": _text("which connection: main otherwise"),
    "requirement": _REQUIREMENT,
    "unpaced": _scalar("true: at once, though stacks limit how often they answer such segments"),
    "within": _scalar("how soon: 500ms, 2s, 2.5x, or a range 4s..6s"),
    "for": _scalar("how long nothing may come: 2s, 2.5x"),
    "gap": _scalar("time since the copy before: a range, or a ratio 1.7x..2.4x"),
    "since": _text("the segment from which the time counts"),
    "times": _scalar("how often it comes: 2, 1..3, 2.."),
    "lost": _scalar("true: the tester plays not to have received it"),
    "acked": _scalar("true: the tester acknowledges it"),
    "returns": _scalar("eof, any, ok, sent, a number, names, or a payload"),
    "raises": _one_or_more(_one_of(ERRNOS, "an errno by name"), "errno names"),
    "until": _text("a comparison that ends the rounds"),
    "steps": _steps("the steps of a round; $n is its number"),
}

_KINDS: dict[str, Schema] = {
    "send": _text("a segment in the notation: SYN seq=irs win=65535"),
    "expect": _text("a segment that must come, or nothing"),
    "any-of": {
        "type": "object",
        "description": "one of several ways: label -> steps",
        "additionalProperties": {"$ref": "#/$defs/steps"},
        "minProperties": 1,
    },
    "call": _text(f"a call of the application: {', '.join(sorted(VERBS))}"),
    "result": _text("the name of a call that was left pending"),
    "state": _one_of(_STATES, "the state that the replies must give away"),
    "wait": _scalar("how long nothing is sent"),
    "check": _text("a comparison: synack.win <= 65535"),
    "repeat": _scalar("how often, 1 to 5000"),
    "deliver": _scalar("a payload that must be acknowledged and read"),
    "stop": _scalar("the case ends here, well"),
}


def _step(kind: str) -> Schema:
    return {
        "type": "object",
        "properties": {kind: _KINDS[kind]} | {key: _VALUES[key] for key in sorted(KEYS[kind])},
        "required": [kind] + (["steps"] if kind == "repeat" else []),
        "additionalProperties": False,
    }


def _setting(values: tuple[str, ...] | None) -> Schema:
    if values is None:
        return {"type": ["integer", "string"], "pattern": "^[0-9]+$"}
    # An editor reads `on` and `off` as booleans.
    return {"enum": [*values, *([True, False] if "off" in values else [])]}


def _needs() -> Schema:
    keys: dict[str, Schema] = {
        "ip": {"enum": ["v4", "v6"], "description": "both IP versions otherwise"},
        "agent": _one_or_more({"enum": sorted(VERBS)}, "calls that the target's agent must know"),
        "options": _one_or_more({"enum": sorted(OPTIONS)}, "TCP options that the target must offer"),
        "settings": {
            "type": "object",
            "properties": {name: _setting(values) for name, values in SETTINGS.items()},
            "additionalProperties": False,
        },
        "link": {"enum": ["quick-ack", "delayed-ack"]},
        "services": _one_or_more({"type": "string"}, "services that the target must run"),
        "half-open": {"enum": ["kept"], "description": "the listener remembers a SYN: no SYN cookies"},
        "tier": {"enum": ["default", "long"]},
    }
    return _object(keys, NEEDS_KEYS, "what the case can't do without")


def _start() -> Schema:
    keys: dict[str, Schema] = {
        "state": _one_of(_STATES, "the state that the preamble brings the target to"),
        "open": {"enum": ["passive", "active"]},
        "close": {"enum": ["shutdown", "close"]},
        "syn": _text("what the tester's SYN says: fields and <options>"),
        "setup": _steps("steps that run first of all"),
        "before": _steps("steps that run in ESTABLISHED"),
    }
    return {"anyOf": [keys["state"], _object(keys, START_KEYS, "where the case starts, and how it gets there")]}


def _object(properties: dict[str, Schema], known: frozenset[str], what: str) -> Schema:
    if set(properties) != known:
        raise AssertionError(f"the schema has {sorted(properties)}, the loader {sorted(known)}")
    return {"type": "object", "description": what, "properties": properties, "additionalProperties": False}


def case_schema() -> Schema:
    """The schema (JSON Schema 2020-12) as an object."""
    scalars = {"type": "array", "items": _SCALAR, "minItems": 1}
    rows = {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": _SCALAR}}
    connection = {
        "anyOf": [
            {"type": "object", "maxProperties": 0},
            {"const": "unwatched"},
            {"type": "string", "pattern": "^same pair as "},
        ]
    }
    keys: dict[str, Schema] = {
        "title": _text("what is shown, in one sentence"),
        "requirements": _one_or_more({"type": "string"}, "ids of the catalogue that the case decides"),
        "needs": _needs(),
        "vary": {
            "type": "object",
            "description": "parameters: $name",
            "additionalProperties": {"anyOf": [scalars, rows]},
        },
        "connections": {"type": "object", "additionalProperties": connection},
        "start": _start(),
        "steps": {"$ref": "#/$defs/steps"},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "TCP conformance case",
        **_object(keys, CASE_KEYS, "a case of the TCP conformance tester; cases/README.md documents the language"),
        "required": ["title", "requirements", "steps"],
        "$defs": {
            "steps": _steps("steps, one after the other"),
            "step": {"anyOf": [{"const": "stop"}, *(_step(kind) for kind in KEYS)]},
        },
    }
