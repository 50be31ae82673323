"""Case files and their variations as pytest sees them: one item per variation.

`cases/open/three-way-handshake.yaml::[ip=v4]` is the item of the variation `open/three-way-handshake[ip=v4]`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from conformance.pytest_plugin import options
from conformance.suite import in_a_suite, placed, root_of

if TYPE_CHECKING:
    from conformance.cases.model import Case, Variation
    from conformance.engine.result import Result
    from conformance.pytest_plugin.running import CaseRun

RUN: pytest.StashKey[CaseRun] = pytest.StashKey()
"""The run in progress, in the stash of the session's config."""
SETTLED: pytest.StashKey[Result] = pytest.StashKey()
"""The result of an item, in its stash."""


def wanted(path: Path, parent: pytest.Collector) -> bool:
    """True for what is a case file: below a suite, or named on the command line."""
    if path.suffix != ".yaml":
        return False
    return parent.session.isinitpath(path) or in_a_suite(path, options.folders(parent.config))


class CaseFile(pytest.File):
    """A case file."""

    def collect(self) -> Iterator[pytest.Item]:
        """One item for each variation; all mistakes of the file at once otherwise."""
        from conformance.cases.yamltree import CaseError

        try:
            case = load(self.path, options.folders(self.config))
        except CaseError as error:
            from conformance.report.text import printable_lines

            raise self.CollectError(printable_lines(str(error))) from None
        marks = _marks(case)
        for variation in case.variations:
            name = variation.id.removeprefix(case.id)
            # Said in full: pytest takes what is in brackets for parameters when it reads an id back.
            nodeid = f"{self.nodeid}::{name}"
            yield CaseItem.from_parent(self, name=name, nodeid=nodeid, variation=variation, marks=marks)


def _marks(case: Case) -> list[pytest.MarkDecorator]:
    """The marks of all items of a case."""
    from conformance.catalogue import load as load_catalogue
    from conformance.selection import requirements_of

    marks = []
    for requirement in requirements_of(case, load_catalogue()):
        marks.append(getattr(pytest.mark, requirement.level.split()[0].lower()))
        marks.append(pytest.mark.requirement(id=requirement.id))
    return [*marks, pytest.mark.tier(name=case.needs.tier)]


def load(path: Path, folders: Sequence[Path] = ()) -> Case:
    """The case in a file, its places told from the working directory. Raises CaseError, OSError."""
    from conformance.cases.loader import load_file
    from conformance.catalogue import load as load_catalogue

    path, root = placed(path, folders)
    return load_file(path, root, frozenset(load_catalogue().requirements), trust=True)


def variation_id(config: pytest.Config, nodeid: str) -> str:
    """The id of the variation that an item of that name stands for."""
    path, _, name = nodeid.partition("::")
    file = Path(os.path.abspath(config.rootpath / path))  # noqa: PTH100 - symbolic links stay as they are named
    root = root_of(file, options.folders(config))
    return f"{file.relative_to(root).with_suffix('').as_posix()}{name}"


class CaseFailure(Exception):
    """The result is a finding, or was not decided: `page` explains it."""

    def __init__(self, page: str, message: str) -> None:
        super().__init__(message)
        self.page = page


class Page:
    """What pytest prints of a failed item, and the line of it for the short summary."""

    def __init__(self, failure: CaseFailure, place: tuple[str, int]) -> None:
        self._text = failure.page
        self.reprcrash = _Crash(str(failure), *place)

    def toterminal(self, tw: Any) -> None:
        """Print the page."""
        for line in self._text.splitlines():
            tw.line(line)

    def __str__(self) -> str:
        return self._text


class _Crash:
    def __init__(self, message: str, path: str, lineno: int) -> None:
        self.message, self.path, self.lineno = message, path, lineno


class CaseItem(pytest.Item):
    """One variation of a case."""

    def __init__(self, *, variation: Variation, marks: Iterable[pytest.MarkDecorator], **rest: Any) -> None:
        super().__init__(**rest)
        self.variation = variation
        self.extra_keyword_matches.add(variation.id)
        for mark in marks:
            self.add_marker(mark)

    def mark_steps(self) -> None:
        """Add the marks that stand in the steps, which are only read when somebody asks."""
        from conformance.engine.estimate import expected_wait
        from conformance.selection import states_of

        for state in states_of(self.variation):
            self.add_marker(pytest.mark.state(name=state))
        if expected_wait(self.variation):
            self.add_marker("timers")

    def reportinfo(self) -> tuple[Path, int, str]:
        """File, line from 0, and the id."""
        return self.path, 0, self.variation.id

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Our own failures as they are: a traceback through the plugin says nothing, and costs 0.25 s."""
        if isinstance(excinfo.value, CaseFailure | pytest.xfail.Exception):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def setup(self) -> None:
        """Wait for the result. What was not decided is an error, as is all that goes wrong before a test is begun."""
        outcome = self.config.stash[RUN].wait(self)
        from conformance.report.text import printable

        result = outcome.result
        self.stash[SETTLED] = result
        self.user_properties += _properties(result)
        if outcome.undecided:
            raise CaseFailure(self._page(result), printable(f"{result.verdict}: {result.reason}"))

    def tell(self) -> bool:
        """Wait for the result and, where it passed, report that at once; False: there is more to do, as of any test."""
        outcome = self.config.stash[RUN].wait(self)
        if not outcome.passed:
            return False
        self.user_properties += _properties(outcome.result)
        self._passed("call", outcome.result.duration)
        self._passed("teardown", 0.0)
        return True

    def _passed(self, when: Literal["call", "teardown"], seconds: float) -> None:
        said = self.user_properties
        report = pytest.TestReport(
            self.nodeid, self.location, {}, "passed", None, when, duration=seconds, user_properties=said
        )
        self.ihook.pytest_runtest_logreport(report=report)

    def runtest(self) -> None:
        """Say what the result comes to in the light of the baseline."""
        outcome = self.config.stash[RUN].wait(self)
        result = outcome.result
        if outcome.skipped is not None:
            raise pytest.skip.Exception(outcome.skipped, _use_item_location=True)
        if outcome.known is not None:
            pytest.xfail(outcome.known)
        if outcome.failed is not None:
            raise CaseFailure(self._page(result), outcome.failed)

    def _page(self, result: Result) -> str:
        from conformance.catalogue import load as load_catalogue
        from conformance.report.ladder import render_failure

        return render_failure(result, load_catalogue(), options.rerun(self.config, self.nodeid))


def _properties(result: Result) -> list[tuple[str, object]]:
    from conformance.catalogue import load as load_catalogue

    catalogue = load_catalogue()
    finding = result.finding
    broken = finding.requirements if finding is not None and finding.requirements else result.requirements
    known = [catalogue.get(id_) for id_ in broken if id_ in catalogue]
    return [
        ("requirement", ", ".join(broken)),
        ("level", ", ".join(dict.fromkeys(str(requirement.level) for requirement in known))),
        ("section", ", ".join(dict.fromkeys(requirement.reference for requirement in known))),
        ("verdict", str(result.verdict)),
        ("reason", result.reason),
        ("file", finding.place.file if finding is not None else result.file),
        ("line", finding.place.line if finding is not None else 1),
    ]
