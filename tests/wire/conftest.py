"""A namespace of this machine's kernel, to have something at the other end of the wire."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conformance.targets.base import TargetError
from conformance.targets.netns import OwnKernel


@pytest.fixture(scope="module")
def kernel() -> Iterator[OwnKernel]:
    try:
        target = OwnKernel.start()
    except TargetError as problem:
        if "cannot make a private network namespace" not in str(problem):
            raise
        pytest.skip(str(problem))
    with target:
        yield target
