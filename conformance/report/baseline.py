"""The baseline: the known deviations of one stack, and what a result is worth in their light.

    like: gvisor                     # optional: another stack's entries, of the file beside this one, hold here, too
    except:                          # optional: but not these entries: their `case`, or the part before its bracket
    - {case: timers/karn, reason: Why it is different here.}
    reviewed:                        # what it was reviewed for; elsewhere differences are told as "unreviewed kernel"
      kernel: ["6.18.*", "6.12.*"]   # patterns, `*` stands for anything
    deviations:
    - case: close/half-duplex        # an id without its brackets means every variation; `*` stands for anything
      requirement: RFC9293-MUST-1    # the requirement that is broken; not for UNSUPPORTED
      verdict: FAIL                  # or DEVIATION, UNSUPPORTED, INCONCLUSIVE (a state that the stack can't reach)
      reason: One sentence on what the stack does instead, and where that is known from.
      condition: {ip: v6, kernel: "6.12.*", option: ts, profile: sack}   # optional, each part too
      chance: its ISN is random      # optional: what decides whether it shows; where it does not nothing is missed
      until: 2027-03-31              # optional: from the day after it excuses nothing, and counts as stale
    - verdict: FAIL                  # one cause that shows in many cases: an entry for each of them
      reason: One sentence, as above.
      cases:                         # comes last; each with its requirement, or nothing behind it (UNSUPPORTED)
        close/half-duplex: RFC9293-MUST-1
        close/fin-again*: RFC9293-MUST-12

An entry of the case `*` (the breach of an invariant, which may be seen in any case) excuses, and demands nothing:
where it is not met nothing is missed.

`ip` and `option` are of the variation; `profile` is what stands behind the colon of the target's name (`default`
without one). Kernel and profile take `*` for anything, and `|` between several.

Own entries come before those of `like`. An entry that names no case, or no requirement, is an error: it
is stale. Imports the catalogue and the Result.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from conformance.catalogue.catalogue import Catalogue, UnknownRequirementError
from conformance.engine.result import Result, Verdict


def today() -> date:
    """The day by which entries expire, UTC: the same on every machine."""
    return datetime.now(UTC).date()


ANY = "*"
"""As an entry's case: any, and none in particular."""


class BaselineError(ValueError):
    """Everything that is wrong with a baseline: one `file:line: what, and what would be right` per line."""


class Kind(StrEnum):
    """What a result is worth in the light of a baseline."""

    EXPECTED = "expected"
    """PASS, and nothing else was known."""
    KNOWN = "known deviation"
    """Just the deviation that the baseline lists."""
    UNEXPECTED_FAIL = "unexpected fail"
    UNEXPECTED_PASS = "unexpected pass"
    """Better than the baseline says: the entry is out of date."""
    NEW_DEVIATION = "deviation not in the baseline"
    """A SHOULD was missed: told, and a finding only under `--strict`."""
    NEW_UNSUPPORTED = "unsupported, not in the baseline"
    NOT_DECIDED = "not decided"
    """INCONCLUSIVE or ERROR."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """One entry: what is known to differ, and why."""

    case: str
    verdict: Verdict
    reason: str
    requirement: str | None = None
    ip: str | None = None
    kernel: str | None = None
    option: str | None = None
    profile: str | None = None
    chance: str | None = None
    """What decides, run by run, whether it shows."""
    until: date | None = None
    """The last day on which it excuses anything."""
    line: int = 0
    group: int = 0
    """The line of the entry under whose `cases` it stands; 0 where it is an entry by itself."""
    path: Path | None = field(default=None, compare=False)
    """The file in which it stands."""

    @property
    def demands(self) -> bool:
        """True where a result that is better contradicts it."""
        return self.case != ANY and self.chance is None

    def expired(self, day: date) -> bool:
        """True when the entry's last day is over."""
        return self.until is not None and self.until < day

    def meant_by(self, case: str) -> bool:
        """True when an exception for `case` means it: by its very words, or by its case without the variation."""
        return self.case == case or _matches(case, _split(self.case)[0])

    def applies(self, id_: str, target: Mapping[str, object]) -> bool:
        """True when the entry speaks of that variation on that target (`Target.describe()`)."""
        path, variation = _split(id_)
        words = set(re.split(r"[^A-Za-z0-9]+", variation))
        return (
            (_matches(self.case, id_) or ("[" not in self.case and _matches(self.case, path)))
            and (self.ip is None or self.ip in words)
            and (self.option is None or self.option in words)
            and (self.kernel is None or any(_matches(one, kernel_of(target)) for one in self.kernel.split("|")))
            and (self.profile is None or any(_matches(one, profile_of(target)) for one in self.profile.split("|")))
        )


class Judgement(NamedTuple):
    """What a result is worth: its kind, the entry that it meets or contradicts, and whether the kernel was reviewed."""

    kind: Kind
    entry: Deviation | None = None
    reviewed: bool = True

    @property
    def finding(self) -> bool:
        """True for what makes a run end with 1."""
        return self.kind in (Kind.UNEXPECTED_FAIL, Kind.UNEXPECTED_PASS)

    def __str__(self) -> str:
        differs = self.kind not in (Kind.EXPECTED, Kind.KNOWN, Kind.NOT_DECIDED)
        return f"unreviewed kernel: {self.kind}" if differs and not self.reviewed else str(self.kind)


@dataclass(frozen=True, slots=True)
class Baseline:
    """The known deviations of one stack. Without a file: `Baseline()`, which knows none and reviews nothing."""

    path: Path | None = None
    kernels: tuple[str, ...] = ()
    deviations: tuple[Deviation, ...] = ()
    day: date = field(default_factory=today)
    """The day by which entries are expired or not."""
    _found: dict[str, tuple[Deviation, ...]] = field(default_factory=dict, compare=False, repr=False)
    _names: list[str] = field(default_factory=list, compare=False, repr=False)

    def reviewed(self, target: Mapping[str, object]) -> bool:
        """True when the target's kernel is one that the baseline was reviewed for."""
        return self.path is None or any(_matches(pattern, kernel_of(target)) for pattern in self.kernels)

    def entry(self, id_: str, target: Mapping[str, object]) -> Deviation | None:
        """The first entry that speaks of a variation on that target; what it says is not compared."""
        return next((entry for entry in self._near(id_) if entry.applies(id_, target)), None)

    def _near(self, id_: str) -> tuple[Deviation, ...]:
        """The entries that may speak of a variation: those of its case, and those with a pattern for a case."""
        path = _split(id_)[0]
        found = self._found.get(path)
        if found is None:
            if not self._names:
                self._names.extend(_split(entry.case)[0] for entry in self.deviations)
            named = zip(self.deviations, self._names, strict=True)
            found = self._found[path] = tuple(entry for entry, name in named if name == path or "*" in name)
        return found

    def judge(self, result: Result, target: Mapping[str, object], *, strict: bool = False) -> Judgement:
        """What the result is worth; `target` is `Target.describe()`. Under `strict` a new DEVIATION is a fail."""
        entries = [entry for entry in self._near(result.id) if entry.applies(result.id, target)]
        met = next((entry for entry in entries if meets(result, entry) and not entry.expired(self.day)), None)
        reviewed = self.reviewed(target)
        if met is not None:
            return Judgement(Kind.KNOWN, met, reviewed)
        if result.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR):
            return Judgement(Kind.NOT_DECIDED, None, reviewed)
        entry = next((entry for entry in entries if entry.demands), None)
        if result.verdict is Verdict.FAIL:
            return Judgement(Kind.UNEXPECTED_FAIL, entry, reviewed)
        if result.verdict is Verdict.UNSUPPORTED:
            return Judgement(Kind.NEW_UNSUPPORTED, entry, reviewed)
        if entry is not None and (result.verdict is Verdict.PASS or entry.verdict is Verdict.FAIL):
            return Judgement(Kind.UNEXPECTED_PASS, entry, reviewed)
        if result.verdict is Verdict.DEVIATION:
            return Judgement(Kind.UNEXPECTED_FAIL if strict else Kind.NEW_DEVIATION, entry, reviewed)
        return Judgement(Kind.EXPECTED, None, reviewed)

    def check(self, ids: Iterable[str], catalogue: Catalogue) -> None:
        """Raise BaselineError with every entry that is stale: it expired, or no case of `ids`, no requirement is meant.

        `ids` are all variations of the suite, not only those selected.
        """
        below: dict[str, set[str]] = {}
        for id_ in ids:
            path = _split(id_)[0]
            below.setdefault(path, {path}).add(id_)
        known = set().union(*below.values())
        errors = []
        for entry in self.deviations:
            place = f"{entry.path or self.path}:{entry.line}"
            pattern = _pattern(entry.case)
            if entry.expired(self.day):
                errors.append(
                    f"{place}: the entry of {entry.case!r} expired on {entry.until}: look at it again, then give it "
                    "another date, or take it out"
                )
            near_by = below.get(_split(entry.case)[0], known)  # most speak of one case, whose ids are few
            if entry.case not in known and not any(pattern.fullmatch(id_) for id_ in near_by):
                near = difflib.get_close_matches(entry.case, known, 1)
                hint = f"; is {near[0]} meant?" if near else ": take the entry out"
                errors.append(f"{place}: no case matches {entry.case!r}{hint}")
            if entry.requirement is not None:
                try:
                    catalogue.get(entry.requirement)
                except UnknownRequirementError as error:
                    errors.append(f"{place}: {error}")
        if errors:
            raise BaselineError("\n".join(errors))


def meets(result: Result, entry: Deviation) -> bool:
    """True when the result is just what the entry says; whether it applies is another question."""
    if result.verdict is not entry.verdict:
        return False
    if entry.requirement is None:
        return True
    broken = result.finding.requirements if result.finding is not None else ()
    return entry.requirement in (broken or result.requirements)


def kernel_of(target: Mapping[str, object]) -> str:
    """The kernel's release in a target's description: its first word that begins like a version, or all of it."""
    kernel = str(target.get("kernel") or "unknown")
    release = re.search(r"(?<!\S)\d+\.\S*", kernel)
    return release.group() if release is not None else kernel


def profile_of(target: Mapping[str, object]) -> str:
    """The profile in a target's name, `default` without one."""
    named = re.fullmatch(r"[a-z][\w-]*:([^:,]+)", str(target.get("name") or ""))  # an address has colons, too
    return named[1] if named is not None else "default"


def _split(id_: str) -> tuple[str, str]:
    path, bracket, variation = id_.partition("[")
    return path, variation.removesuffix("]") if bracket else ""


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("*")), re.DOTALL)


def _matches(pattern: str, text: str) -> bool:
    return _pattern(pattern).fullmatch(text) is not None
