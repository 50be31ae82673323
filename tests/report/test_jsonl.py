from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import failing, other, passing

from conformance.engine.result import Event, Verdict
from conformance.jsonlines import encode
from conformance.report import jsonl
from conformance.report.jsonl import Header, ReportError, Writer, case_set_digest, read, result_line, timestamp
from conformance.tcp.notation import parse

ROOT = Path(__file__).parents[2]
HEADER = Header(
    ("conformance", "run"), "sha256:0", {"kernel": "Linux 6.18.1", "sysctls": {"tcp_sack": "1"}}, selected=2
)
VALIDATOR = jsonschema.Draft202012Validator(json.loads(jsonl.JSON_SCHEMA.read_text()))


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_whole_run_is_a_header_results_and_a_footer_each_valid(tmp_path: Path):
    path = tmp_path / "deep" / "run.jsonl"
    writer = Writer(path, HEADER)
    writer.write(passing("a[ip=v4]"), "expected")
    writer.write(failing("b"), "unreviewed kernel: unexpected fail")
    writer.close()
    found = lines(path)
    assert [line["type"] for line in found] == ["header", "result", "result", "footer"]
    for line in found:
        VALIDATOR.validate(line)
    assert found[0]["target"] == HEADER.target
    assert found[-1]["counts"]["FAIL"] == 1
    assert found[-1]["how"] == "complete"
    report = read(path)
    assert report.complete
    assert writer.failed is None
    assert [result["id"] for result in report.results] == ["a[ip=v4]", "b"]


@pytest.mark.parametrize("verdict", Verdict)
def test_a_result_of_any_verdict_is_valid_and_only_those_to_explain_carry_frames(verdict):
    line = json.loads(json.dumps(result_line(other(verdict, "x"))))
    VALIDATOR.validate(line)
    assert any("frame" in event for event in line["trace"]) == (verdict not in ("PASS", "UNSUPPORTED"))


def test_the_schema_refuses_what_is_wrong():
    line = json.loads(json.dumps(result_line(passing())))
    for key, value in (
        ("verdict", "GOOD"),
        ("judgement", "fine"),
        ("attempts", 0),
        ("trace", [{}]),
        ("started", "now"),
    ):
        assert not VALIDATOR.is_valid({**line, key: value}), key
    assert VALIDATOR.is_valid({**line, "added_later": 1})
    del line["finding"]
    assert not VALIDATOR.is_valid(line)


def test_events_are_in_the_notation_with_times_from_the_start():
    line = result_line(failing())
    event = line["trace"][2]
    assert event["text"] == "SYN,ACK seq=iss ack=irs+1 win=65160 <mss 1460, nop, wscale 7>"
    assert event["at"] == 20_000
    assert parse(event["text"])
    assert bytes.fromhex(event["frame"]) == failing().trace[2].data


def test_every_result_is_on_the_disk_when_write_returns(tmp_path: Path):
    path = tmp_path / "run.jsonl"
    writer = Writer(path, HEADER)
    for number in range(3):
        writer.write(passing(f"case-{number}"))
        assert len(lines(path)) == number + 2
    writer.close()


def test_a_killed_run_has_no_footer_and_the_reader_says_so(tmp_path: Path):
    path = tmp_path / "run.jsonl"
    code = (
        "import os, sys, signal; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from test_jsonl import HEADER, Writer, passing\n"
        "w = Writer(Path(sys.argv[1]), HEADER); w.write(passing('a'))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, path, Path(__file__).parent, ROOT], check=False, capture_output=True
    )
    assert process.returncode == -9, process.stderr
    report = read(path)
    assert len(report.results) == 1
    assert report.footer is None
    assert not report.complete
    assert "no footer" in report.problems[0]


def test_a_line_that_is_cut_off_is_told_and_not_guessed(tmp_path: Path):
    path = tmp_path / "run.jsonl"
    writer = Writer(path, HEADER)
    writer.write(passing("a"))
    writer.write(passing("b"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    report = read(path)
    assert [result["id"] for result in report.results] == ["a"]
    assert report.problems[0] == "line 3 is cut off"
    writer.close()


def test_an_interrupted_run_says_why_and_what_was_not_run(tmp_path: Path):
    path = tmp_path / "run.jsonl"
    writer = Writer(path, HEADER)
    writer.write(passing("a"))
    writer.close("interrupted", "Ctrl-C", ["b", "c"])
    writer.close()
    VALIDATOR.validate(lines(path)[-1])
    report = read(path)
    assert report.problems == ("the run was interrupted: Ctrl-C", "2 selected variation(s) were not run")
    with pytest.raises(ValueError, match="footer already"):
        writer.write(passing("d"))


def test_results_that_the_footer_misses_are_told(tmp_path: Path):
    path = tmp_path / "run.jsonl"
    writer = Writer(path, HEADER)
    writer.write(passing("a"))
    writer.close()
    kept = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(kept[0] + kept[-1])
    assert read(path).problems == ("the footer counts 1 result(s), the report has 0",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no report"),
        ("hello\n", "no report"),
        ('{"type":"header","schema":"other","version":1}\n', "no report"),
        ('{"type":"header","schema":"tcp-conformance-report","version":99}\n', "version 99"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text, message):
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    with pytest.raises(ReportError, match=message):
        read(path)


def test_a_device_without_room_does_not_end_the_run():
    told = io.StringIO()
    writer = Writer(Path("/dev/full"), HEADER, told)
    writer.write(passing("a"))
    writer.close()
    assert writer.failed == os.strerror(errno.ENOSPC)
    assert writer.pending == 3
    assert told.getvalue().splitlines() == [
        "conformance: the report /dev/full can't be written: No space left on device: "
        "make room, the run goes on and tries again",
        "conformance: 3 line(s) of the report /dev/full are lost: No space left on device",
    ]


def test_a_path_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    told = io.StringIO()
    writer = Writer(tmp_path / "file" / "run.jsonl", HEADER, told)
    writer.write(passing("a"))
    assert writer.failed
    assert "can't be written" in told.getvalue()


class SmallDisk:
    """os.write on a disk of `room` octets, which writes what still fits before it refuses."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._write = os.write

    def __call__(self, file: int, data: bytes) -> int:
        left = self.room - os.fstat(file).st_size
        if left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(file, bytes(data)[:left])


def test_a_disk_that_fills_up_keeps_whole_lines_and_gets_the_rest_when_there_is_room(tmp_path: Path, monkeypatch):
    path = tmp_path / "run.jsonl"
    disk = SmallDisk(9000)
    monkeypatch.setattr(os, "write", disk)
    told = io.StringIO()
    writer = Writer(path, HEADER, told)
    for number in range(10):
        writer.write(passing(f"case-{number}"))
        lines(path)
        assert path.read_bytes().endswith(b"\n")
    assert writer.failed == "No space left on device"
    assert 0 < writer.pending < 10
    assert told.getvalue().count("\n") == 1
    disk.room = 10**9
    writer.close()
    assert writer.pending == 0
    report = read(path)
    assert report.complete
    assert [result["id"] for result in report.results] == [f"case-{number}" for number in range(10)]
    assert report.footer["writing"] == "No space left on device"


def test_a_real_full_disk(tmp_path: Path):
    script = Path(__file__).with_name("fill_disk.py")
    inner = f"mount -t tmpfs -o size=64k none {tmp_path} && exec {sys.executable} {script} {tmp_path} {ROOT}"
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here: the small disk above stands in")
    process = subprocess.run(["unshare", "-rm", "sh", "-c", inner], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.split()[0] == "ENOSPC-met"
    assert "No space left on device" in process.stderr


def test_threads_may_write_at_once(tmp_path: Path):
    path = tmp_path / "run.jsonl"
    writer = Writer(path, HEADER)
    threads = [
        threading.Thread(target=lambda n=n: [writer.write(passing(f"{n}-{m}")) for m in range(20)]) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert len(read(path).results) == 80
    assert read(path).complete


@given(st.text(), st.binary(max_size=80))
def test_hostile_texts_and_frames_stay_valid_ascii_json(text, data):
    result = failing(id_=text, reason=text, title=text)
    result.trace = [
        Event(1, "call", text, 0, text),
        Event(2, "seen", "main", 0, data),
        Event(3, "note", "main", -1, text),
    ]
    encoded = encode(result_line(result))
    assert encoded.isascii()
    assert encoded.count(b"\n") == 1
    assert all(octet >= 0x20 for octet in encoded[:-1])
    VALIDATOR.validate(json.loads(encoded))


def test_a_description_may_hold_anything(tmp_path: Path):
    path = tmp_path / "run.jsonl"
    Writer(path, Header((), "", {"address": b"\x01", "set": {1}})).close()
    VALIDATOR.validate(lines(path)[0])


def test_time_stamps_keep_their_nanoseconds():
    assert timestamp(1_763_682_659_000_000_001) == "2025-11-20T23:50:59.000000001Z"


def test_the_digest_changes_with_names_and_contents_not_with_the_place(tmp_path: Path):
    def suite(name: str, files: dict[str, str]) -> str:
        for file, text in files.items():
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / file).write_text(text)
        return case_set_digest((tmp_path / name / file for file in files), tmp_path / name)

    first = suite("one", {"a.yaml": "1", "b.yaml": "2"})
    assert suite("two", {"b.yaml": "2", "a.yaml": "1"}) == first
    assert (
        len({first, suite("three", {"a.yaml": "1", "b.yaml": "3"}), suite("four", {"a.yaml": "1", "c.yaml": "2"})}) == 3
    )


def test_what_the_readme_says_of_the_keys_is_what_is_written():
    readme = (Path(__file__).parents[2] / "docs" / "report.md").read_text()
    keys = set(HEADER.line()) | set(result_line(failing()))
    assert [key for key in keys if f"`{key}`" not in readme] == []
    for definition in json.loads(jsonl.JSON_SCHEMA.read_text())["$defs"].values():
        assert [key for key in definition.get("properties", {}) if f"`{key}`" not in readme and len(key) > 6] == []


def test_with_all_captures_a_pass_keeps_its_frames(tmp_path: Path):
    for frames in (False, True):
        writer = Writer(tmp_path / "r.jsonl", HEADER, frames=frames)
        writer.write(passing())
        writer.close()
        (line,) = read(tmp_path / "r.jsonl").results
        assert any("frame" in event for event in line["trace"]) == frames
