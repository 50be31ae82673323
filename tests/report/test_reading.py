"""What was written is read again: the same results, in little memory, with every fault told."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from browsing import written
from report_samples import failing, other, passing

from conformance.engine.result import Verdict
from conformance.report.jsonl import result_line
from conformance.report.ladder import ladder
from conformance.report.pcapng import capture
from conformance.report.reading import Reading, ReportError, nanoseconds, result_of


def test_a_finding_comes_back_as_it_was(tmp_path: Path):
    before = failing(start="ESTABLISHED")
    written(tmp_path / "r.jsonl", [before])
    ((_, line),) = Reading(tmp_path / "r.jsonl")
    after = result_of(line)
    assert dataclasses.asdict(after) == dataclasses.asdict(before)
    assert capture(after) == capture(before)


def test_a_pass_has_no_frames_and_the_same_ladder(tmp_path: Path):
    before = passing()
    written(tmp_path / "r.jsonl", [before])
    ((_, line),) = Reading(tmp_path / "r.jsonl")
    assert ladder(result_of(line)) == ladder(before)
    again = result_line(result_of(line))
    assert [event["text"] for event in again["trace"]][:3] == [event["text"] for event in line["trace"]][:3]


def test_a_place_leads_to_its_line_and_problems_are_told(tmp_path: Path):
    path = written(tmp_path / "r.jsonl", [passing("a"), failing("b"), other(Verdict.ERROR, "c")])
    reading = Reading(path)
    places = {line["id"]: place for place, line in reading}
    assert reading.line_at(places["b"])["verdict"] == "FAIL"
    assert (reading.count, reading.problems) == (3, [])
    octets = path.read_bytes()
    path.write_bytes(octets[: octets.rindex(b'{"type":"footer"') - 20])
    assert [line["id"] for _, line in reading] == ["a", "b"]
    assert reading.problems == ["line 4 is cut off", "no footer: the run crashed or was killed, or is still going on"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"id": 3}, "'id' should be text"),
        ({"trace": "x"}, "'trace' should be a list"),
        ({"steps": [1]}, "'steps' should be objects"),
        ({"requirements": [{}]}, "'requirements' should be ids"),
        ({"finding": 5}, "'finding' should be an object or null"),
        ({"verdict": "GREAT"}, "'GREAT' is no verdict"),
        ({"pairs": []}, "'pairs' should be an object"),
    ],
)
def test_a_line_that_is_no_result_is_refused_with_its_number(tmp_path: Path, change, says):
    path = written(tmp_path / "r.jsonl", [passing("a"), passing("b")])
    lines = path.read_text().splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | change)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ReportError, match=f"r.jsonl:3: this is no result: {says}"):
        list(Reading(path))


@pytest.mark.parametrize(
    "change", [{"started": "noon"}, {"states": [{}]}, {"isns": {"main": 3}}, {"trace": [{"at": "x"}]}]
)
def test_what_can_not_be_a_result_is_refused(tmp_path: Path, change):
    line = json.loads(json.dumps(result_line(passing("a")))) | change
    with pytest.raises(ReportError, match="a: its line in the report can't be read"):
        result_of(line)


def test_time_stamps_keep_their_nanoseconds():
    assert nanoseconds("2026-11-20T23:50:59.123456789Z") % 1_000_000_000 == 123_456_789
