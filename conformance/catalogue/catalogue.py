"""The catalogue: every requirement by id, with its level, and the places where one RFC contradicts another.

Imports only the standard library, and yaml when it is first loaded.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from yaml.nodes import Node

REQUIREMENTS = Path(__file__).with_name("requirements.yaml")
STATES = Path(__file__).with_name("states.yaml")

REASONS = {
    "internal": "nothing of it reaches the wire or an application",
    "advice": "it speaks to applications, operators or other layers, not to the stack",
    "permission": "it only permits: nothing that a stack does can break it",
    "feature": "no stack that there is a target for has the feature",
    "interface": "no interface of a target that there is offers it",
    "path": "it takes links, routers or hosts that no path to a target has",
    "time": "it takes longer than a run can wait",
}
"""Why a requirement can be decided on none of the targets: codes, and what they mean."""

Unmet = Literal["FAIL", "DEVIATION", "observed"]
Observable = Literal["yes", "with-timers", "with-agent", "no"]


class CatalogueError(ValueError):
    """The catalogue's own file is wrong: `file:line: what`."""


class UnknownRequirementError(KeyError):
    """An id that the catalogue does not have; `near` are the ids that may have been meant."""

    def __init__(self, requirement: str, near: tuple[str, ...]) -> None:
        super().__init__(requirement)
        self.requirement = requirement
        self.near = near

    def __str__(self) -> str:
        hint = f"; did you mean {' or '.join(self.near)}?" if self.near else ""
        return f"{self.requirement!r} is no requirement of the catalogue{hint}"


class Level(StrEnum):
    """How strongly a requirement is put: the RFC 2119 keyword, or BEHAVIOUR for text without one."""

    MUST = "MUST"
    MUST_NOT = "MUST NOT"
    SHOULD = "SHOULD"
    SHOULD_NOT = "SHOULD NOT"
    MAY = "MAY"
    BEHAVIOUR = "BEHAVIOUR"

    @property
    def unmet(self) -> Unmet:
        """How an unmet requirement of this level counts; a MAY is only observed."""
        return _UNMET[self]


_UNMET: dict[Level, Unmet] = {
    Level.MUST: "FAIL",
    Level.MUST_NOT: "FAIL",
    Level.BEHAVIOUR: "FAIL",
    Level.SHOULD: "DEVIATION",
    Level.SHOULD_NOT: "DEVIATION",
    Level.MAY: "observed",
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that an RFC asks."""

    id: str
    rfc: int
    section: str
    level: Level
    summary: str
    """The requirement's text in our own words, one sentence."""
    states: tuple[str, ...] = ()
    """The states in which it can be tested, by their RFC names."""
    observable: Observable = "yes"
    """What it takes to see it from outside: a listening port, long waits, calls of the application; or impossible."""
    needs: tuple[str, ...] = ()
    test_idea: str = ""
    note: str = ""
    keyword: str = ""
    """What the level rests on when the sentence has no plain keyword."""
    also_timers: bool = False
    why_not_observable: str = ""
    reason: str = ""
    """Why no case decides it on any target that there is, as a code of `REASONS`; empty where a case should."""
    why_undecided: str = ""
    """The same in a sentence, for what could be observed elsewhere."""
    appendix_b_group: str = ""
    appendix_b_level: str = ""
    """The level that Appendix B of RFC 9293 marks, where it differs from the text."""

    @property
    def why(self) -> str:
        """The sentence that goes with `reason`."""
        return self.why_undecided or self.why_not_observable

    @property
    def reference(self) -> str:
        """`RFC 9293 section 3.10.7.4`."""
        return f"RFC {self.rfc} section {self.section}"


@dataclass(frozen=True, slots=True)
class ConflictOutcome:
    """One of the ways that a conflict permits."""

    label: str
    text: str
    source: str
    misses: str | None = None
    """The requirement, usually a SHOULD, that a stack which goes this way leaves unmet."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two texts that permit different things: either outcome is classified, anything else breaks the requirement."""

    id: str
    summary: str
    between: tuple[str, ...]
    outcomes: tuple[ConflictOutcome, ...]
    requirements: tuple[str, ...]
    states: tuple[str, ...] = ()
    """The states that it is limited to; empty when it is not."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All requirements, in the order of the file, and the conflicts between them."""

    requirements: Mapping[str, Requirement]
    conflicts: tuple[Conflict, ...] = ()
    _conflicts_of: Mapping[str, tuple[Conflict, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found: dict[str, list[Conflict]] = {}
        for conflict in self.conflicts:
            for requirement in conflict.requirements:
                found.setdefault(requirement, []).append(conflict)
        object.__setattr__(self, "_conflicts_of", {id_: tuple(conflicts) for id_, conflicts in found.items()})

    def __len__(self) -> int:
        return len(self.requirements)

    def __iter__(self) -> Iterator[Requirement]:
        return iter(self.requirements.values())

    def __contains__(self, requirement: object) -> bool:
        return requirement in self.requirements

    def get(self, requirement: str) -> Requirement:
        """The requirement with that id. Raises UnknownRequirementError, which suggests ids that are near."""
        try:
            return self.requirements[requirement]
        except KeyError:
            raise UnknownRequirementError(requirement, self._near(requirement)) from None

    def _near(self, requirement: str) -> tuple[str, ...]:
        upper = requirement.upper().replace("_", "-").replace(" ", "")
        if upper in self.requirements:
            return (upper,)
        ending = [known for known in self.requirements if known.endswith("-" + upper)]
        return tuple(ending[:3] or difflib.get_close_matches(upper, self.requirements, 3, 0.75))

    def select(
        self,
        ids: Iterable[str] | None = None,
        *,
        rfc: int | None = None,
        section: str | None = None,
        level: Level | str | None = None,
        state: str | None = None,
    ) -> list[Requirement]:
        """The requirements for which all that is said holds, in the catalogue's order.

        `section` takes its subsections in: `3.10.7` has `3.10.7.4`. Raises UnknownRequirementError for an unknown id
        and ValueError for a level that is none.
        """
        wanted = None if ids is None else {self.get(id_).id for id_ in ids}
        grade = None if level is None else Level(level)
        return [
            requirement
            for requirement in self
            if (wanted is None or requirement.id in wanted)
            and (rfc is None or requirement.rfc == rfc)
            and (section is None or f"{requirement.section}.".startswith(f"{section}."))
            and (grade is None or requirement.level is grade)
            and (state is None or state in requirement.states)
        ]

    def conflicts_of(self, requirement: str, state: str | None = None) -> tuple[Conflict, ...]:
        """The conflicts that touch a requirement, in `state` when that is known."""
        found = self._conflicts_of.get(requirement, ())
        return tuple(c for c in found if state is None or not c.states or state in c.states)


@cache
def load() -> Catalogue:
    """The catalogue that comes with the tester; read once, then kept."""
    return read(REQUIREMENTS)


def read(path: Path) -> Catalogue:
    """The catalogue in a file. Raises CatalogueError with the line that is wrong."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=loader)
    except yaml.YAMLError as error:
        raise CatalogueError(f"{path}: {error}") from error
    top = _mapping(path, root)
    if "requirements" not in top:
        raise CatalogueError(f"{path}: it has no requirements")
    requirements: dict[str, Requirement] = {}
    for node in _items(path, top.get("requirements")):
        requirement = _requirement(path, node)
        if requirement.id in requirements:
            raise CatalogueError(f"{_place(path, node)}: {requirement.id} stands twice")
        requirements[requirement.id] = requirement
    conflicts = tuple(_conflict(path, node, requirements) for node in _items(path, top.get("conflicts")))
    return Catalogue(MappingProxyType(requirements), conflicts)


@cache
def states() -> Mapping[str, Any]:
    """The state machine and the probes as data: `transitions`, `probes`, `states` and what else states.yaml has."""
    import yaml

    with STATES.open(encoding="utf-8") as file:
        data = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    return MappingProxyType(dict(data))


_NAMES = ("id", "section", "summary", "test_idea", "note", "keyword")
_TEXTS = frozenset((*_NAMES, "why_not_observable", "why_undecided", "appendix_b_group", "appendix_b_level"))
_OBSERVABLE: tuple[Observable, ...] = ("yes", "with-timers", "with-agent", "no")


def _requirement(path: Path, node: Node) -> Requirement:
    fields = _mapping(path, node)
    known: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _TEXTS:
            known[name] = _text(path, value)
        elif name == "rfc":
            known[name] = int(_text(path, value))
        elif name in ("states", "needs"):
            known[name] = tuple(_text(path, item) for item in _items(path, value))
        elif name == "level":
            known[name] = _one_of(path, value, _LEVELS)
        elif name == "wire_observable":
            known["observable"] = _one_of(path, value, _OBSERVABLES)
        elif name == "reason":
            known[name] = _one_of(path, value, _CODES)
        elif name == "also_timers":
            known[name] = _one_of(path, value, {"true": True, "false": False})
        else:
            raise CatalogueError(f"{_place(path, value)}: {name!r} is no key of a requirement")
    try:
        return Requirement(**known)
    except TypeError as error:
        wanted = "a requirement takes at least id, rfc, section, level, summary"
        raise CatalogueError(f"{_place(path, node)}: {wanted}: {error}") from error


_LEVELS = {level.value: level for level in Level}
_CODES = {code: code for code in REASONS}
_OBSERVABLES: dict[str, Observable] = {value: value for value in _OBSERVABLE}


def _conflict(path: Path, node: Node, requirements: Mapping[str, Requirement]) -> Conflict:
    fields = _mapping(path, node)
    outcomes = []
    for label, outcome in _mapping(path, fields.get("outcomes")).items():
        texts = {key: _text(path, value) for key, value in _mapping(path, outcome).items()}
        outcomes.append(ConflictOutcome(label, **texts))
    keys = ("between", "requirements", "states")
    lists = {key: tuple(_text(path, item) for item in _items(path, fields.get(key))) for key in keys}
    named = [*lists["requirements"], *(outcome.misses for outcome in outcomes if outcome.misses)]
    for requirement in named:
        if requirement not in requirements:
            raise CatalogueError(f"{_place(path, node)}: a conflict names {requirement}, which is no requirement")
    return Conflict(_text(path, fields["id"]), _text(path, fields["summary"]), outcomes=tuple(outcomes), **lists)


def _place(path: Path, node: Node | None) -> str:
    return str(path) if node is None else f"{path}:{node.start_mark.line + 1}"


def _kind(node: Any) -> str:
    kind: str = node.id
    return kind


def _mapping(path: Path, node: Node | None) -> dict[str, Node]:
    if node is None or _kind(node) != "mapping":
        raise CatalogueError(f"{_place(path, node)}: a mapping should stand here")
    return {key.value: value for key, value in node.value}


def _items(path: Path, node: Node | None) -> list[Node]:
    if node is None:
        return []
    if _kind(node) != "sequence":
        raise CatalogueError(f"{_place(path, node)}: a list should stand here")
    items: list[Node] = node.value
    return items


def _text(path: Path, node: Node) -> str:
    if _kind(node) != "scalar":
        raise CatalogueError(f"{_place(path, node)}: a text should stand here")
    text: str = node.value
    return text


def _one_of(path: Path, node: Node, values: Mapping[str, Any]) -> Any:
    text = _text(path, node)
    if text not in values:
        raise CatalogueError(f"{_place(path, node)}: {text!r} should be one of {', '.join(values)}")
    return values[text]
