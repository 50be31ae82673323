"""With pytest-xdist: every worker is given its whole share at once, and submits only that to an engine of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xdist.scheduler import LoadScheduling

from conformance.pytest_plugin import options
from conformance.pytest_plugin.lifecycle import begin

if TYPE_CHECKING:
    import pytest


def is_case(nodeid: str) -> bool:
    """True for the name of an item of ours."""
    return ".yaml::[" in nodeid


def shares(count: int, workers: int) -> list[list[int]]:
    """The indices of `count` items dealt out to workers in turn: waits are spread, and all know it without asking."""
    return [list(range(first, count, workers)) for first in range(workers)]


def share(nodeids: Sequence[str], worker: Mapping[str, Any]) -> list[str]:
    """The items that a worker can expect. One that takes a crashed one's place expects none, and runs what comes."""
    number = int(str(worker["workerid"]).removeprefix("gw"))
    dealt = shares(len(nodeids), int(worker["workercount"]))
    return [nodeids[index] for index in dealt[number]] if number < len(dealt) else []


class Shares(LoadScheduling):  # type: ignore[misc]
    """Deals all items out at the start when there are cases among them; otherwise as pytest-xdist does."""

    collection: list[str] | None
    config: pytest.Config

    def schedule(self) -> None:
        """Deal the items out, once the workers agree on what there is."""
        nodeids = next(iter(self.node2collection.values()))
        if (
            self.collection is not None
            or not any(map(is_case, nodeids))
            or not self._check_nodes_have_same_collection()
        ):
            super().schedule()
            return
        begin(self.config, [nodeid for nodeid in nodeids if is_case(nodeid)], _describe(self.config))
        self.collection = nodeids
        nodes = sorted(self.nodes, key=lambda node: int(node.gateway.id.removeprefix("gw")))
        for node, indices in zip(nodes, shares(len(nodeids), len(nodes)), strict=True):
            self.node2pending[node].extend(indices)
            node.send_runtest_some(indices)
        for node in nodes:
            node.shutdown()


def _describe(config: pytest.Config) -> dict[str, object]:
    """What the target says of itself; found out here once, so that one that can't be had is told once."""
    from conformance.pytest_plugin.recording import cannot
    from conformance.targets.base import TargetError
    from conformance.targets.opening import opener

    try:
        target = opener(options.asked(config))({})
    except TargetError as error:
        cannot(str(error))
    try:
        return target.describe()
    finally:
        target.close()
