"""Imports point one way, and scapy has one room: the house of design.md, kept by reading its walls."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import conformance

HOUSE = Path(conformance.__file__).parent

BELOW: dict[str, set[str]] = {
    "tcp": set(),
    "cases": {"tcp"},
    "catalogue": {"tcp"},
    "wire": {"tcp"},
    "adapters": set(),
    "jsonlines": set(),
    "targets": {"tcp", "wire", "adapters", "jsonlines"},
    "engine": {"tcp", "cases", "catalogue", "wire", "targets"},
}
BELOW["learn"] = BELOW["report"] = BELOW["engine"] | {"engine", "jsonlines"}
# What both fronts share: which cases there are, and which of them are meant.
BELOW["selection"] = BELOW["report"] | {"report", "learn"}
BELOW["suite"] = BELOW["selection"] | {"selection"}
BELOW["pytest_plugin"] = BELOW["suite"] | {"suite"}
BELOW["cli"] = BELOW["pytest_plugin"] | {"pytest_plugin"}
BELOW["__main__"] = BELOW["cli"] | {"cli"}
"""Room -> the rooms that it may import."""

NO_LIBRARIES = {"tcp", "engine", "catalogue", "cases"}
LIBRARIES = {"cases": {"yaml"}, "catalogue": {"yaml"}}
"""What the pure rooms may import from outside the standard library."""

MODULES = sorted(HOUSE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of every import of a file, wherever in it it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are written out in full"
            module = node.module or ""
            if module == "conformance":
                yield from ((node.lineno, f"conformance.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, module


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_imports_point_one_way(path):
    room = room_of(path)
    if room == "__init__":
        return
    wrong = []
    for line, name in imported(path):
        parts = name.split(".")
        if name == "conformance.__version__":
            continue
        if parts[0] == "conformance" and len(parts) > 1 and parts[1] != room and parts[1] not in BELOW[room]:
            wrong.append(f"{path}:{line}: {room} must not import {name}")
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_scapy_has_one_room(path):
    # The namespace's child makes its own: netns only warms the import up while it waits for the child.
    allowed = room_of(path) == "wire" or path.relative_to(HOUSE).as_posix() == "targets/netns.py"
    found = [line for line, name in imported(path) if name.split(".")[0] == "scapy"]
    assert allowed or not found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(HOUSE).as_posix())
def test_pure_rooms_need_no_libraries(path):
    import sys

    room = room_of(path)
    if room not in NO_LIBRARIES:
        return
    allowed = {"conformance", *sys.stdlib_module_names, *LIBRARIES.get(room, set())}
    assert {name.split(".")[0] for _, name in imported(path)} <= allowed


def test_the_core_does_no_input_or_output():
    forbidden = {"socket", "asyncio", "os", "pathlib", "subprocess", "time", "select", "io", "threading", "random"}
    for path in (HOUSE / "tcp").glob("*.py"):
        assert not {name.split(".")[0] for _, name in imported(path)} & forbidden, path


def test_every_room_has_its_rules():
    assert {room_of(path) for path in MODULES} - {"__init__"} <= set(BELOW)
