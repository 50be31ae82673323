"""`conformance coverage`, as it is called."""

from __future__ import annotations

import json

from click.testing import CliRunner

from conformance.cli import main


def run(*words: str):
    return CliRunner().invoke(main, ["coverage", *words])


def test_without_results_it_says_what_there_is():
    found = run("--requirement", "RFC9293-MUST-12", "--list")
    assert found.exit_code == 0
    assert "RFC9293-MUST-12 (MUST): not run" in found.output
    assert "reset/pending-recv" in found.output


def test_it_writes_all_of_it(tmp_path):
    file = tmp_path / "c.json"
    assert run("--section", "5961:3.2", "--output", str(file)).exit_code == 0
    written = json.loads(file.read_text())["requirements"]
    assert {entry["rfc"] for entry in written.values()} == {5961}
    assert written["RFC5961-3.2-RST-INWIN"]["triples"]


def test_a_report_that_is_none_and_a_word_that_is_none():
    missing = run("nothing.jsonl")
    assert (missing.exit_code, missing.output.strip()) == (2, "conformance: nothing.jsonl: there is no such report")
    assert run("--level", "PERHAPS").exit_code == 2
    unwritable = run("--output", "/proc/nothing/c.json")
    assert unwritable.exit_code == 3
    assert "can't be written" in unwritable.output
