"""Models as files: JSON with everything, DOT as published models have it. Reading takes both."""

from __future__ import annotations

import json
import re
from pathlib import Path

from conformance.learn.alphabet import word_text
from conformance.learn.model import Model

_EDGE = re.compile(r'^\s*"?([\w.-]+)"?\s*->\s*"?([\w.-]+)"?\s*\[\s*label\s*=\s*"((?:[^"\\]|\\.)*)"', re.MULTILINE)
_START = re.compile(r"^\s*__start0\s*->\s*\"?([\w.-]+)\"?", re.MULTILINE)
_NODE = re.compile(r'^\s*"?([\w.-]+)"?\s*\[[^\]]*label\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([\w.-]+))', re.MULTILINE)


class ModelError(Exception):
    """A file that is no model, in one line."""


def to_json(model: Model) -> str:
    """The model with its facts, and a shortest word to each state."""
    states = [
        {
            "name": model.name(state),
            "access": word_text(word),
            "edges": {letter: list(model.edges[state][letter]) for letter in model.letters},
        }
        for state, word in enumerate(model.access())
    ]
    return json.dumps({"model": 1, **model.facts, "inputs": list(model.letters), "states": states}, indent=1) + "\n"


def to_dot(model: Model) -> str:
    """The model as a graph, one edge a transition: `input / output`."""
    lines = ["digraph model {", '__start0 [label="" shape="none"];', "__start0 -> s0;"]
    lines += [f's{state} [label="{_quoted(model.name(state))}"];' for state in range(len(model))]
    for state, row in enumerate(model.edges):
        for letter, (output, to) in row.items():
            lines.append(f's{state} -> s{to} [label="{_quoted(f"{letter} / {output}")}"];')
    return "\n".join([*lines, "}", ""])


def read(path: Path) -> Model:
    """The model in a .json or .dot file. Raises ModelError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8"
        raise ModelError(f"{path}: can't be read: {reason}") from None
    try:
        return from_json(text) if path.suffix == ".json" else from_dot(text)
    except ModelError as problem:
        raise ModelError(f"{path}: {problem}") from None


def from_json(text: str) -> Model:
    """The inverse of `to_json`. Raises ModelError."""
    try:
        said = json.loads(text)
        letters = tuple(map(str, said["inputs"]))
        count = len(said["states"])
        edges = []
        for state in said["states"]:
            row = {letter: (str(state["edges"][letter][0]), int(state["edges"][letter][1])) for letter in letters}
            if not all(0 <= to < count for _, to in row.values()):
                raise ModelError("a transition leads to a state that is not there")
            edges.append(row)
        names = [str(state["name"]) for state in said["states"]]
        if said.pop("model") != 1 or not edges:
            raise ModelError("no model of a version that is known here")
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as problem:
        raise ModelError(f"no model: {problem!r}") from None
    facts = {key: value for key, value in said.items() if key not in ("inputs", "states")}
    return Model(letters, edges, names, facts)


def from_dot(text: str) -> Model:
    """A model from a graph whose edges say `input / output` or `input/output`. Raises ModelError."""
    rows: dict[str, dict[str, tuple[str, str]]] = {}
    for origin, to, label in _EDGE.findall(text):
        label = _unquoted(label)
        letter, slash, output = label.partition(" / ") if " / " in label else label.partition("/")
        if not slash:
            raise ModelError(f"an edge says {label!r}, not input / output")
        if letter.strip() in rows.setdefault(origin, {}):
            raise ModelError(f"{origin} has two edges for {letter.strip()!r}")
        rows[origin][letter.strip()] = (output.strip(), to)
        rows.setdefault(to, {})
    if not rows:
        raise ModelError("it has no edges 'a -> b [label=\"input / output\"]'")
    letters = tuple(dict.fromkeys(letter for row in rows.values() for letter in row))
    for name, row in rows.items():
        missing = [letter for letter in letters if letter not in row]
        if missing:
            raise ModelError(f"{name} has no edge for {missing[0]!r}")
    said = _START.search(text)
    start = said.group(1) if said is not None and said.group(1) in rows else next(iter(rows))
    order = [start, *(name for name in rows if name != start)]
    place = {name: index for index, name in enumerate(order)}
    edges = [{letter: (rows[name][letter][0], place[rows[name][letter][1]]) for letter in letters} for name in order]
    labels = {name: _unquoted(quoted) or plain for name, quoted, plain in _NODE.findall(text) if name in rows}
    return Model(letters, edges, [labels.get(name, name) for name in order])


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
