"""A listener with SYN cookies keeps no half-open connection, and opens one for an ACK: no probe may do so.

The application closes at once whatever is opened, so a connection that a probe opened shows by the listener's queue.
"""

from __future__ import annotations

import asyncio

import pytest

from conformance.cases.loader import load_text
from conformance.catalogue import load
from conformance.engine.clock import RealClock
from conformance.engine.result import Result, Verdict
from conformance.engine.run import run_variation
from conformance.targets.netns import OwnKernel

HEAD = "title: x\nrequirements: [RFC9293-MUST-13]\n"
CASES = {
    "listen": "start: LISTEN\nsteps:\n  - state: LISTEN\n",
    "half-open": "start: SYN-RECEIVED\nsteps:\n  - state: LISTEN\n",
    "aborted": "start: ESTABLISHED\nsteps:\n  - send: RST\n  - state: CLOSED\n",
    "closed": "start: LAST-ACK\nsteps:\n  - send: ACK ack=fin.end\n  - state: CLOSED\n",
    "opened": "start: ESTABLISHED\nsteps:\n  - state: ESTABLISHED\n",
    "half-closed": "start: FIN-WAIT-2\nsteps:\n  - state: FIN-WAIT-2\n",
    "peer-closed": "start: CLOSE-WAIT\nsteps:\n  - state: CLOSE-WAIT\n",
}
NOTHING_OPENED = "  - call: listener.poll()\n    returns: none\n"


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    async def all_of(target: OwnKernel) -> dict[str, Result]:
        target.wire.watch()
        try:
            return {
                variation.id: await run_variation(variation, target, RealClock(), catalogue)
                for name, text in CASES.items()
                for variation in load_text(HEAD + text + NOTHING_OPENED, f"{name}.yaml", name).variations
            }
        finally:
            target.wire.unwatch()

    catalogue = load()
    with OwnKernel.start({"tcp_syncookies": "2"}) as target:
        return asyncio.run(all_of(target))


@pytest.mark.parametrize("version", ["v4", "v6"])
@pytest.mark.parametrize("name", CASES)
def test_a_state_is_named_without_opening_a_connection(results: dict[str, Result], name: str, version: str):
    result = results[f"{name}[ip={version}]"]
    assert result.verdict is Verdict.PASS, result.reason
