"""Each promise of SECURITY.md has a test, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def test_the_named_tests_exist():
    named = NAMED.findall((ROOT / "SECURITY.md").read_text())
    assert len(named) > 20
    missing = []
    for file, name in named:
        path = ROOT / file
        tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
        if not any(isinstance(node, ast.FunctionDef) and node.name == name for node in ast.walk(tree)):
            missing.append(f"{file}::{name}")
    assert not missing


def test_each_promise_names_one():
    promises, _, _ = (ROOT / "SECURITY.md").read_text().partition("## Not promised")
    bare = [promise for promise in re.split(r"^- ", promises, flags=re.MULTILINE)[1:] if not NAMED.search(promise)]
    assert [promise.splitlines()[0] for promise in bare] == [
        line for line in (one.splitlines()[0] for one in bare) if line.startswith(WARNINGS)
    ]


WARNINGS = ("An agent named by",)
"""What is a warning, and no promise."""
