"""The life of a run inside a session: the target opened early, items submitted, the report closed however it ends."""

from __future__ import annotations

import pickle
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING

import pytest

from conformance.pytest_plugin import options
from conformance.pytest_plugin.items import RUN, SETTLED, CaseItem, variation_id

if TYPE_CHECKING:
    from conformance.cases.model import Variation
    from conformance.pytest_plugin.recording import Recorder
    from conformance.targets.base import Target
    from conformance.targets.opening import Early

EARLY: pytest.StashKey[Early] = pytest.StashKey()
VIRTUAL: pytest.StashKey[bool] = pytest.StashKey()
"""In the config's stash: the target keeps its own time."""
RECORDER: pytest.StashKey[Recorder] = pytest.StashKey()
"""In the config's stash: what records the run; there once it has begun."""


def open_early(config: pytest.Config) -> None:
    """Open the default target in the background: a case was found, so it will be wanted."""
    if EARLY in config.stash or config.option.collectonly:
        return
    from conformance.targets.opening import Early, opener

    def open_target(settings: Mapping[str, str]) -> Target:
        return opener(options.asked(config))(settings)

    config.stash[EARLY] = Early(open_target)


def close_early(config: pytest.Config) -> None:
    """Close the target if no run took it."""
    early = config.stash.get(EARLY, None)
    if early is not None:
        early.close()


def around_loop(session: pytest.Session) -> Generator[None, object, object]:
    """What goes around the loop over the items."""
    items = [item for item in session.items if isinstance(item, CaseItem)]
    stopped = session.testsfailed and not session.config.option.continue_on_collection_errors
    if session.config.option.collectonly or not items or stopped:
        return (yield)
    if options.is_worker(session.config):
        return (yield from _as_worker(session, items))
    return (yield from _alone(session, items))


def _alone(session: pytest.Session, items: list[CaseItem]) -> Generator[None, object, object]:
    from conformance.engine.estimate import expected_wait
    from conformance.pytest_plugin.choosing import FILES
    from conformance.pytest_plugin.recording import PROGRESS, Recorder
    from conformance.pytest_plugin.running import CaseRun, how_it_ended

    config = session.config
    open_early(config)
    description = _start_engine(config, [item.variation for item in items])
    run: CaseRun = config.stash[RUN]
    waits = (lambda variation: 0.0) if config.stash[VIRTUAL] else expected_wait
    ahead = 0.0
    if PROGRESS in config.stash:
        ahead = max(waits(item.variation) for item in items)
    ids = {item.variation.id: item.nodeid for item in items}
    files = config.stash[FILES]
    recorder = Recorder(config, description, ids, files, ahead=ahead)
    progress = recorder.progress
    run.record = recorder.add
    if progress is not None:
        run.show(progress.started, progress.tick, waits)
    config.stash[RECORDER] = recorder
    ended: BaseException | None = None
    with recorder:
        try:
            run.submit(items)
            return (yield)
        except BaseException as error:
            ended = error
            raise
        finally:
            run.end()
            recorder.close(*how_it_ended(ended))


def _as_worker(session: pytest.Session, items: list[CaseItem]) -> Generator[None, object, object]:
    from conformance.pytest_plugin.distributed import share
    from conformance.pytest_plugin.recording import baseline_of

    config = session.config
    open_early(config)
    description = _start_engine(config)
    run = config.stash[RUN]
    baseline, strict = baseline_of(config), config.option.conformance_strict
    run.record = lambda result: baseline.judge(result, description, strict=strict)
    nodeids = [item.nodeid for item in session.items]
    mine = set(share(nodeids, config.workerinput))  # type: ignore[attr-defined]
    try:
        run.submit(item for item in items if item.nodeid in mine)
        return (yield)
    finally:
        run.end()


def _start_engine(config: pytest.Config, variations: Sequence[Variation] = ()) -> dict[str, object]:
    """Start the engine, put the run into the stash; what the target says of itself. Without a target, exits with 3.

    A crew runs the `variations` where that is worth while.
    """
    from conformance.engine.crew import size
    from conformance.pytest_plugin.recording import cannot
    from conformance.pytest_plugin.running import CaseRun
    from conformance.targets.base import TargetError

    early = config.stash[EARLY]
    try:
        target = early.first()
        config.stash[VIRTUAL] = target.time is not None
        description = target.describe()
        members = size(target, len(variations))
        if members > 1:
            early.close()  # each member opens its own
        run = CaseRun(config, early, variations, members, target.at_once)
        run.engine.start()
    except TargetError as error:
        cannot(str(error))
    config.stash[RUN] = run
    return description


def adjust(item: CaseItem, report: pytest.TestReport) -> None:
    """Give a report the engine's duration, and what another process needs of it."""
    result = item.stash.get(SETTLED, None)
    if result is None:
        return
    decisive = report.when == "call" or (report.when == "setup" and not report.passed)
    report.duration = result.duration if decisive else 0.0
    if decisive and options.is_worker(item.config):
        vars(report)["conformance_result"] = pickle.dumps(result)


def begin(config: pytest.Config, nodeids: list[str], description: dict[str, object]) -> None:
    """At the controller of pytest-xdist: the workers have agreed on what they will run."""
    from conformance.pytest_plugin.recording import Recorder

    ids = {variation_id(config, nodeid): nodeid for nodeid in nodeids}
    files = {config.rootpath / nodeid.partition("::")[0] for nodeid in nodeids}
    config.stash[RECORDER] = Recorder(config, description, ids, files)


def take(config: pytest.Config, report: pytest.TestReport) -> None:
    """At the controller: record the result that came with a worker's report."""
    recorder = config.stash.get(RECORDER, None)
    packed = report.__dict__.pop("conformance_result")
    if recorder is not None:
        recorder.add(pickle.loads(packed))  # noqa: S301 - a worker of ours packed it


def around_workers(config: pytest.Config) -> Generator[None, object, object]:
    """What goes around the controller's loop: one report of what all workers send, closed however the loop ends."""
    from conformance.pytest_plugin.running import how_it_ended

    ended: BaseException | None = None
    try:
        return (yield)
    except BaseException as error:
        ended = error
        raise
    finally:
        recorder = config.stash.get(RECORDER, None)
        if recorder is not None:
            recorder.close(*how_it_ended(ended))
