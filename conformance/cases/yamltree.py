"""YAML with marks, and every mistake of a file at once. Scalars stay strings: `no`, `on`, `1:1` mean nothing here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import CollectionEndEvent, CollectionStartEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

from conformance.cases.model import Place

LARGEST = 1 << 20
"""Octets of a case file at most."""
DEEPEST = 400
"""Levels of nesting that are composed at all."""
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc]
    """YAML without meanings of plain words, so that a tag is one that stands in the file."""

    def resolve(self, *_: object) -> None:
        """No tag."""


class CaseError(Exception):
    """A case file that can't be used; `problems` are all that is wrong with it, each with its place."""

    def __init__(self, problems: list[tuple[Place, str]]) -> None:
        self.problems = problems
        super().__init__("\n".join(f"{place}: {message}" for place, message in problems))


@dataclass(slots=True)
class Problems:
    """Collects what is wrong with one file; lines and columns count from 1."""

    file: str
    source: str = ""
    found: list[tuple[Place, str]] = field(default_factory=list)

    def at(self, node: Node, message: str, column: int = 0) -> None:
        """Note a mistake `column` characters into a node."""
        mark = node.start_mark
        shift = 1 if isinstance(node, ScalarNode) and node.style in ("'", '"') and column else 0
        if isinstance(node, ScalarNode) and node.end_mark.line != mark.line:
            column = 0
        self.found.append((Place(self.file, mark.line + 1, mark.column + 1 + column + shift), message))

    def place(self, node: Node) -> Place:
        """Where a node begins."""
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def check(self) -> None:
        """Raise CaseError if anything was noted."""
        if self.found:
            unique = sorted(set(self.found), key=lambda item: (item[0].line, item[0].column))
            raise CaseError(unique)


_HINTS = (
    ("cannot start any token", "indent with spaces, not tabs; quote a value that begins with a special character"),
    ("mapping values are not allowed", "a value that contains ': ' must be quoted"),
    ("expected <block end>", "a value that begins with a quote, '*', '&' or '-' must be quoted as a whole"),
    ("expected ',' or ']'", "close the list with ']', and quote its items"),
    ("expected ',' or '}'", "close the mapping with '}', and quote its values"),
    ("found unexpected end of stream", "a quote that is never closed"),
    ("expected alphabetic or numeric", "a value that begins with '*' or '&' must be quoted"),
    ("undefined alias", "a value that begins with '*' must be quoted; aliases are not part of the language"),
    (
        "did not find expected key",
        "indent the keys of one mapping alike, and quote a value with quotes in it as a whole",
    ),
    ("another document", "one case a file: '---' begins another one"),
)


def compose(text: str, file: str) -> tuple[MappingNode, Problems]:
    """The mapping at the top of a case file. Raises CaseError with the place of the mistake."""
    problems = Problems(file, text)
    if len(text) > LARGEST:
        problems.found.append(
            (Place(file, 1, 1), f"a case file has at most {LARGEST} characters, this one {len(text)}")
        )
        problems.check()
    try:
        _refuse_endless_nesting(text)
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
        said = f"{error.context or ''} {error.problem or ''}".strip()
        hint = next((hint for sign, hint in _HINTS if sign in said), "see cases/README.md for the language")
        problems.found.append((place, f"not YAML: {error.problem or said}; {hint}"))
    except ReaderError as error:
        before = text.encode()[: error.position].decode(errors="ignore")
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        problems.found.append((place, f"not YAML: {error.reason}; use printable characters only"))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        problems.found.append((Place(file, 1, 1), f"not YAML: {line}; use little nesting"))
    problems.check()
    if not isinstance(node, MappingNode):
        problems.found.append((Place(file, 1, 1), "a case is a mapping with title, requirements and steps"))
        problems.check()
    _walk(node, problems)
    problems.check()
    return node, problems


def _refuse_endless_nesting(text: str) -> None:
    """Composing recurses in C, where too much of it ends the process: look at the events first where it may be much.

    Every level of nesting takes a bracket or a column. Raises ValueError.
    """
    if text.count("[") + text.count("{") + max(map(len, text.split("\n"))) <= DEEPEST:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise ValueError("nested too deeply")
        elif isinstance(event, CollectionEndEvent):
            depth -= 1


_PLAIN_IN_FLOW = re.compile(r"[\w.$+\-=~/^ ]*")
_LINE_WORD = re.compile(
    r"(?<![\w-])(SYN|ACK|FIN|RST|PSH|URG|ECE|CWR|NONE)(?![\w-])|sackOK|\bwscale\b|\bmss\b|retransmission of"
)


def _walk(top: Node, problems: Problems) -> None:
    seen: set[int] = set()
    stack: list[tuple[Node, int, bool]] = [(top, 0, False)]
    while stack:
        node, depth, flow = stack.pop()
        if id(node) in seen:
            problems.at(node, "anchors and aliases are not part of the language: use vary, or write it out")
            return
        seen.add(id(node))
        if depth > 24:
            problems.at(node, "nested too deeply: 24 levels are plenty")
            return
        if node.tag is not None:
            problems.at(node, "tags are not part of the language")
        if isinstance(node, SequenceNode):
            stack.extend((item, depth + 1, flow or bool(node.flow_style)) for item in node.value)
        elif isinstance(node, MappingNode):
            keys: dict[str, Node] = {}
            for key, value in node.value:
                if not isinstance(key, ScalarNode):
                    problems.at(key, "a key is a word")
                elif key.value in keys:
                    first = keys[key.value].start_mark.line + 1
                    problems.at(key, f"{key.value!r} is said twice, first in line {first}: keep one")
                else:
                    keys[key.value] = key
                stack.append((value, depth + 1, flow or bool(node.flow_style)))
        elif flow and isinstance(node, ScalarNode) and not node.style and _must_quote(node.value):
            problems.at(node, f"quote {node.value!r}: inside [...] and {{...}} a comma ends the item")


def _must_quote(text: str) -> bool:
    return bool(_LINE_WORD.search(text)) or not _PLAIN_IN_FLOW.fullmatch(text)


def items(node: MappingNode) -> Iterator[tuple[str, ScalarNode, Node]]:
    """Key, key node, value node."""
    for key, value in node.value:
        if isinstance(key, ScalarNode):
            yield key.value, key, value


def near(word: str, known: frozenset[str] | set[str]) -> str:
    """`; did you mean 'x'?`, or the list of what there is."""
    import difflib

    match = difflib.get_close_matches(word, known, 1, 0.6)
    return f"did you mean {match[0]!r}?" if match else f"there are {', '.join(sorted(known))}"
