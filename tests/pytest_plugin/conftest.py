from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

# An inner session forgets afterwards what it was the first to import, but not what holds on to it.
import conformance.cases.loader
import conformance.engine.scheduler
import conformance.pytest_plugin.choosing
import conformance.pytest_plugin.lifecycle
import conformance.pytest_plugin.recording
import conformance.pytest_plugin.running
import conformance.report.ladder
import conformance.targets.netns
import conformance.targets.opening  # noqa: F401

CASES = {
    "open/good": """
        title: A SYN draws SYN,ACK
        requirements: [RFC9293-3.10.7.2-SYN]
        start: LISTEN
        steps:
          - send: SYN
          - expect: SYN,ACK
    """,
    "open/bad": """
        title: A SYN draws RST, which is wrong
        requirements: [RFC9293-3.10.7.2-SYN]
        start: LISTEN
        steps:
          - send: SYN
          - expect: RST
    """,
    "data/deviating": """
        title: A SHOULD is not met
        requirements: [SHOULD_ID]
        start: ESTABLISHED
        steps:
          - send: ACK (10)
          - expect: RST
    """,
    "data/unsupported": """
        title: Nobody has this service
        requirements: [RFC9293-3.10.7.2-SYN]
        needs: {services: [time-travel]}
        start: LISTEN
        steps:
          - send: SYN
          - expect: SYN,ACK
    """,
    "data/faulty": """
        title: More than the tester can send
        requirements: [RFC9293-3.10.7.2-SYN]
        start: ESTABLISHED
        steps:
          - send: ACK (100000000)
    """,
    "slow/waits": """
        title: A case that waits
        requirements: [RFC9293-3.10.7.2-SYN]
        start: LISTEN
        steps:
          - wait: 20s
    """,
}


@pytest.fixture(autouse=True)
def without_hypothesis(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    # Its plugin imports all of it at the end of each inner session: half a second.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")


@pytest.fixture
def should_id() -> str:
    from conformance.catalogue import Level, load

    return load().select(level=Level.SHOULD)[0].id


@pytest.fixture
def suite(pytester: pytest.Pytester, should_id: str):
    """Writes the named cases below a folder `cases`; a text is a case of its own."""

    def write(*names: str, **texts: str) -> Path:
        root = pytester.path / "cases"
        found = {name: CASES[name] for name in names} | texts
        for name, text in found.items():
            path = root / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip().replace("SHOULD_ID", should_id))
        return root

    return write


@pytest.fixture
def lines(pytester: pytest.Pytester):
    """The objects of the report in folder `r`."""

    def read(folder: str = "r") -> list[dict]:
        return [json.loads(line) for line in (pytester.path / folder / "report.jsonl").read_text().splitlines()]

    return read


@pytest.fixture
def run(pytester: pytest.Pytester):
    """Runs pytest in this process on `cases`, its report in `r`."""

    def go(*args: str) -> pytest.RunResult:
        return pytester.runpytest_inprocess("cases", "--report=r", *args)

    return go
