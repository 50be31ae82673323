"""By what a model was judged: a digest of the event table and of the rules, so that verdicts that are older show.

Comments, docstrings and the layout of the code don't count.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from conformance.catalogue import load
from conformance.learn import check, properties, rules
from conformance.tcp import states

_JUDGES = (states, rules, check, properties)


@cache
def judged_by() -> str:
    """The line at the head of a model's findings."""
    said = hashlib.sha256(repr([(one.requirements, one.states) for one in load().conflicts]).encode())
    for module in _JUDGES:
        for part in _parts(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))):
            said.update(part.encode())
    return f"judged by event table and rules {said.hexdigest()[:12]}"


def is_fresh(findings: Path) -> bool:
    """Whether a model's findings are there, and of today's event table and rules. Raises OSError."""
    if not findings.exists():
        return False
    with findings.open(encoding="utf-8") as lines:
        return next(lines, "").rstrip("\n") == judged_by()


def _parts(node: ast.AST) -> Iterator[str]:
    """What a program says, the same for every version of Python: kinds and values, without empty fields."""
    yield f"({type(node).__name__}"
    for name, value in ast.iter_fields(node):
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant):
                continue  # a docstring
            if isinstance(one, ast.AST):
                yield from _parts(one)
            elif one is not None and name not in ("kind", "type_comment"):
                yield f" {name}={one!r}"
    yield ")"
