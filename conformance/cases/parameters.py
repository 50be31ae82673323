"""`vary` and what `$name` stands for. Substitution is of text, before a value is parsed; nothing is evaluated."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from conformance.cases.yamltree import Problems, items

_PARAMETER = re.compile(r"\$([a-z_][a-z0-9_]*(?:\.[a-z_][a-z0-9_]*)?)")
MOST_VARIATIONS = 2000


class UndefinedParameter(Exception):
    """`$name` that neither `vary` nor `repeat` defines."""

    def __init__(self, name: str, column: int) -> None:
        super().__init__(name)
        self.name = name
        self.column = column


def substitute(text: str, values: Mapping[str, str]) -> str:
    """`text` with each `$name` replaced. Raises UndefinedParameter."""
    if "$" not in text:
        return text

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in values:
            return values[name]
        owner, _, field = name.partition(".")
        if field and owner in values:
            return f"{values[owner]}.{field}"
        raise UndefinedParameter(name, match.start())

    for _ in range(4):
        text = _PARAMETER.sub(value, text)
        if "$" not in text:
            break
    return text


def slug(text: str) -> str:
    """A short form for ids: letters, digits and . + -"""
    return re.sub(r"[^A-Za-z0-9.+]+", "-", text).strip("-")[:48] or "none"


def variants(node: Node | None, problems: Problems) -> list[tuple[str, dict[str, str]]]:
    """Every choice of parameters: `(id part, values)`; one empty choice without `vary`."""
    if node is None:
        return [("", {})]
    if not isinstance(node, MappingNode):
        problems.at(node, "vary is a mapping: a list for each name, or rows")
        return [("", {})]
    axes: list[list[tuple[str, dict[str, str]]]] = []
    for name, key, value in items(node):
        if not re.fullmatch("[a-z_][a-z0-9_]*", name) or name in ("n", "ip"):
            problems.at(key, f"{name!r} can't be a parameter: lower-case letters, digits, _; not n or ip")
        elif isinstance(value, SequenceNode) and value.value:
            axes.append(_list(name, value, problems))
        elif isinstance(value, MappingNode) and value.value:
            axes.append(_table(name, value, problems))
        else:
            problems.at(value, f"{name} takes a list of values, or a mapping of rows, neither empty")
    count = 1
    for axis in axes:
        count *= len(axis)
    if count > MOST_VARIATIONS:
        problems.at(node, f"{count} variations; at most {MOST_VARIATIONS}: split the case")
        return [("", {})]
    found = []
    for choice in itertools.product(*axes):
        values: dict[str, str] = {}
        for _, part in choice:
            values |= part
        found.append((",".join(label for label, _ in choice), values))
    return found


def _list(name: str, node: SequenceNode, problems: Problems) -> list[tuple[str, dict[str, str]]]:
    axis: list[tuple[str, dict[str, str]]] = []
    used: set[str] = set()
    for index, item in enumerate(node.value):
        if not isinstance(item, ScalarNode):
            problems.at(item, f"{name} is a list of plain values; for several fields a value use rows")
            continue
        label = slug(item.value)
        if label in used:
            label = f"{label}.{index}"
        used.add(label)
        axis.append((f"{name}={label}", {name: item.value}))
    return axis


def _table(name: str, node: MappingNode, problems: Problems) -> list[tuple[str, dict[str, str]]]:
    axis: list[tuple[str, dict[str, str]]] = []
    fields: set[str] | None = None
    for label, key, row in items(node):
        if not isinstance(row, MappingNode):
            problems.at(row, f"row {label} is a mapping of fields")
            continue
        values = {}
        for field, field_key, value in items(row):
            if not isinstance(value, ScalarNode):
                problems.at(value, "a field is a plain value")
            elif not re.fullmatch("[a-z_][a-z0-9_]*", field):
                problems.at(field_key, "a field's name has lower-case letters, digits and _")
            else:
                values[f"{name}.{field}"] = value.value
        if fields is not None and set(values) != fields:
            problems.at(key, f"row {label} must have the same fields as the first: {', '.join(sorted(fields))}")
        fields = fields or set(values)
        axis.append((f"{name}={slug(label)}", {name: label} | values))
    return axis
