"""The values of a step: text with its parameters filled in, lines of notation, times, names; problems with places."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from yaml.nodes import Node, ScalarNode, SequenceNode

from conformance.cases import model as m
from conformance.cases.parameters import UndefinedParameter, substitute
from conformance.cases.yamltree import Problems
from conformance.tcp.expression import Expr, NotationError, Range, Ratio, Seconds, Tokens, parse_expr, parse_value
from conformance.tcp.notation import Line, parse

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class ValueReader:
    """Reads the values of one variation's steps; `values` are its parameters."""

    def __init__(self, problems: Problems, values: Mapping[str, str], known_ids: frozenset[str] | None) -> None:
        self.problems = problems
        self.values = values
        self.known_ids = known_ids

    def text(self, node: Node, what: str) -> str | None:
        """The text of a scalar with its parameters filled in, or None after noting a problem."""
        if not isinstance(node, ScalarNode):
            self.problems.at(node, f"{what} takes a plain value")
            return None
        try:
            return substitute(node.value, self.values)
        except UndefinedParameter as error:
            known = ", ".join(f"${name}" for name in sorted(self.values)) or "none"
            self.problems.at(node, f"${error.name} is not defined; parameters here: {known}", error.column)
            return None

    def notation(self, node: Node, text: str, read: Callable[[str], Any]) -> Any:
        """What `read` makes of `text`, or None after noting what is wrong with it."""
        try:
            return read(text)
        except NotationError as error:
            hint = ""
            if "never closed" in error.message and " #" in self._source_line(node):
                hint = "; ' #' begins a comment in YAML: quote the whole value"
            same = isinstance(node, ScalarNode) and node.value == text
            self.problems.at(node, error.message + hint, error.column if same else 0)
            return None
        except RecursionError:
            self.problems.at(node, "nested too deeply")
            return None

    def _source_line(self, node: Node) -> str:
        lines = self.problems.source.splitlines()
        at = node.start_mark.line
        return lines[at] if at < len(lines) else ""

    def line(self, node: Node, what: str) -> Line | None:
        """A line of notation."""
        text = self.text(node, what)
        return None if text is None else self.notation(node, text, parse)

    def span(self, node: Node, what: str) -> m.Span | None:
        """A time, a ratio, or a range of them."""
        text = self.text(node, what)
        if text is None:
            return None
        value = self.notation(node, text, whole_value)
        if value is None:
            return None
        ends: list[Any] = [value.low, value.high] if isinstance(value, Range) else [value]
        if not all(end is None or isinstance(end, Seconds | Ratio) for end in ends) or ends == [None, None]:
            self.problems.at(node, f"{what} takes a time (500ms, 2s), a multiple (2.5x), or a range (4s..6s)")
            return None
        low, high = ends[0], ends[-1]
        if None not in ends and (type(low) is not type(high) or low.value > high.value):
            self.problems.at(node, "a range goes from the lesser to the greater, both ends of one kind")
            return None
        longest = ends[-1] if isinstance(ends[-1], Seconds) else None
        if longest is not None and longest.value > 8 * 3600:
            self.problems.at(node, "at most 28800s")
        return value  # type: ignore[no-any-return]

    def name(self, node: Node | None, what: str) -> str | None:
        """A name for a segment, a call or a connection."""
        if node is None:
            return None
        text = self.text(node, what)
        if text is not None and not _NAME.fullmatch(text):
            self.problems.at(node, f"{what} takes a name: lower-case letters, digits and _, a letter first")
            return None
        return text

    def flag(self, node: Node | None, what: str) -> bool:
        """`true` or `false`."""
        if node is None:
            return False
        text = self.text(node, what)
        if text not in ("true", "false", None):
            self.problems.at(node, f"{what} takes true or false")
        return text == "true"

    def requirements(self, node: Node | None, what: str = "requirement") -> tuple[str, ...]:
        """One requirement id, or a list of them."""
        if node is None:
            return ()
        nodes = node.value if isinstance(node, SequenceNode) else [node]
        found = []
        for item in nodes:
            text = self.text(item, what)
            if text is None:
                continue
            if self.known_ids is not None and text not in self.known_ids:
                import difflib

                like = difflib.get_close_matches(text, self.known_ids, 3, 0.5)
                self.problems.at(item, f"{text!r} is not in the catalogue; near it: {', '.join(like) or 'nothing'}")
            found.append(text)
        return tuple(found)


def whole_value(text: str) -> Any:
    """The value that all of `text` says. Raises NotationError."""
    tokens = Tokens(text)
    value = parse_value(tokens)
    if not tokens.done():
        raise NotationError(f"{tokens.peek().text!r} is too much here", tokens.peek().column)
    return value


def whole_expr(text: str) -> Expr:
    """The expression that all of `text` says. Raises NotationError."""
    tokens = Tokens(text)
    value = parse_expr(tokens)
    if not tokens.done():
        raise NotationError(f"{tokens.peek().text!r} is too much here", tokens.peek().column)
    return value
