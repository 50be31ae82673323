"""Stacks in real time that are emulated machines, or make a device of their own (skipped where they can't be had)."""

from __future__ import annotations

import subprocess

import pytest
from targets.test_adapted import or_skipped, run

from conformance import suite
from conformance.adapters.qemu.initrd import Archive
from conformance.cases.loader import load_file
from conformance.engine.result import Verdict
from conformance.targets.program import ProgramStack

SOME = ("states/established", "states/close-wait", "states/fin-wait-2")


def variations(*names: str):
    cases = [load_file(suite.cases() / f"{case}.yaml", suite.cases()) for case in names]
    return [variation for case in cases for variation in case.variations]


@pytest.mark.parametrize(
    ("name", "kernel", "options"),
    [
        ("linux-6.12", "Linux 6.12", {"mss", "wscale", "sackOK", "ts"}),
        ("lwipv6", "lwIPv6 1.5a", {"mss"}),
        ("runsc", "gVisor runsc", {"mss", "wscale", "sackOK", "ts"}),
        ("smoltcp", "smoltcp in mitmproxy_rs 0.11", {"mss", "wscale", "sackOK"}),
    ],
)
def test_it_says_what_it_is_and_answers(name, kernel, options):
    stack = or_skipped(name)({})
    try:
        assert isinstance(stack, ProgramStack)
        assert str(stack.describe()["kernel"]).startswith(kernel)
        assert stack.capabilities.ip == {4, 6}
        assert stack.capabilities.options == options
        assert 0 < stack.calibration.reply_median < 10
    finally:
        stack.close()


@pytest.mark.parametrize("name", ["linux-6.12", "runsc", "smoltcp"])
def test_states_are_named_from_its_replies(name):
    results = run(or_skipped(name), variations(*SOME))
    assert {result.verdict for result in results.values()} == {Verdict.PASS}, results


def test_states_are_named_where_there_is_no_half_close():
    results = run(or_skipped("lwipv6"), variations("states/established", "states/close-wait"))
    assert {result.verdict for result in results.values()} == {Verdict.PASS}, results


def test_accept_waits_for_a_handshake_that_is_complete():
    """smoltcp's application is told of a connection at its SYN: another's, half open, is not what accept returns."""
    results = run(or_skipped("smoltcp"), variations("open/half-open-beside-others"))
    assert {result.verdict for result in results.values()} == {Verdict.PASS}, results


def test_an_archive_is_what_cpio_unpacks(tmp_path):
    archive = Archive()
    archive.add("deep/er/file", b"text\n", 1_000_000_000)
    archive.add("deep/er/file", b"not again")
    archive.link("deep/link", "er/file")
    archive.folder("empty")
    try:
        subprocess.run(["busybox", "cpio", "-id"], cwd=tmp_path, input=archive.whole(), capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("no busybox")
    assert (tmp_path / "deep/link").read_bytes() == b"text\n"
    assert (tmp_path / "deep/er/file").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "empty").is_dir()
