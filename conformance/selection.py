"""Which cases a run takes: by requirement, section, level, state and tier. Pure: imports the catalogue and cases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from conformance.cases.model import Case, StateIs, Variation
from conformance.catalogue import Catalogue, Requirement
from conformance.catalogue.decided import quick

TIERS = ("default", "quick", "long", "all")


def requirements_of(case: Case, catalogue: Catalogue) -> list[Requirement]:
    """The requirements that a case decides, in its order."""
    return [catalogue.get(id_) for id_ in case.requirements if id_ in catalogue]


def states_of(variation: Variation) -> list[str]:
    """The states that a variation starts in or names, in order."""
    from conformance.cases.steps import walk

    steps, _ = variation.build()
    named = [variation.case.start, *(step.state for step in walk(steps) if isinstance(step, StateIs))]
    return list(dict.fromkeys(str(state) for state in named))


def shard_of(text: str) -> tuple[int, int]:
    """`2/5`, the second of five parts of a run, as numbers. Raises ValueError that says what would be right."""
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise ValueError(f"--shard {text!r}: say I/N, such as 1/3 for the first of three parts")
    return int(part), int(parts)


@dataclass(frozen=True)
class Selection:
    """What was asked for; an empty part takes all. Parts are joined by AND, the items of one part by OR."""

    catalogue: Catalogue
    requirements: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    tier: str = "default"

    @classmethod
    def checked(
        cls,
        catalogue: Catalogue,
        requirements: Iterable[str] = (),
        sections: Iterable[str] = (),
        levels: Iterable[str] = (),
        states: Iterable[str] = (),
        tier: str = "default",
    ) -> Selection:
        """A selection of words as people write them. Raises ValueError that says which is none, and what there is."""
        from conformance.catalogue import Level, UnknownRequirementError
        from conformance.tcp.states import State

        wanted = tuple(requirements)
        for id_ in wanted:
            try:
                catalogue.get(id_)
            except UnknownRequirementError as error:
                raise ValueError(f"--requirement: {error}") from None
        grades = tuple(level.upper().replace("-", " ").replace("_", " ") for level in levels)
        for grade in grades:
            if grade not in {str(level) for level in Level}:
                raise ValueError(f"--level: {grade!r} is none of {', '.join(Level)}")
        names = tuple(state.upper() for state in states)
        for name in names:
            if name not in {str(state) for state in State}:
                raise ValueError(f"--state: {name!r} is none of {', '.join(str(state) for state in State)}")
        parts = tuple(sections)
        for part in parts:
            if not any(_within(requirement, part) for requirement in catalogue):
                raise ValueError(f"--section: no requirement of the catalogue is in section {part!r}")
        if tier not in TIERS:
            raise ValueError(f"--tier: {tier!r} is none of {', '.join(TIERS)}")
        return cls(catalogue, wanted, parts, grades, names, tier)

    @cached_property
    def _wanted(self) -> frozenset[str] | None:
        """The ids of the requirements that fit, or None when all do."""
        if not (self.requirements or self.sections or self.levels):
            return None
        return frozenset(
            requirement.id
            for requirement in self.catalogue
            if (not self.requirements or requirement.id in self.requirements)
            and (not self.sections or any(_within(requirement, part) for part in self.sections))
            and (not self.levels or str(requirement.level) in self.levels)
        )

    def wants(self, requirement: Requirement) -> bool:
        """True for a requirement that was asked for, by itself or by a state in which it can be tested."""
        if self._wanted is not None and requirement.id not in self._wanted:
            return False
        return not self.states or not set(self.states).isdisjoint(requirement.states)

    def takes(self, variation: Variation) -> bool:
        """True for a variation that was asked for."""
        case = variation.case
        if self.tier == "quick":
            if variation.id not in quick():
                return False
        elif self.tier not in {"all", case.needs.tier}:
            return False
        if self._wanted is not None and self._wanted.isdisjoint(case.requirements):
            return False
        return not self.states or not set(self.states).isdisjoint(states_of(variation))


def _within(requirement: Requirement, section: str) -> bool:
    """`3.10.7` takes its subsections in; `RFC5961:3.2` or `5961:3.2` names another RFC than the catalogue's all."""
    rfc, colon, part = section.rpartition(":")
    if colon and rfc.upper().removeprefix("RFC").strip() != str(requirement.rfc):
        return False
    return f"{requirement.section}.".startswith(f"{part}.")
