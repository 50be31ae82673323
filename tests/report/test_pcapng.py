from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_samples import START, failing, other, passing

from conformance.engine.result import Event, Verdict
from conformance.report.pcapng import Captures, capture, file_name


def packets(path: Path):
    from scapy.layers.inet import TCP  # noqa: F401  (so that frames are dissected)
    from scapy.utils import rdpcap

    return rdpcap(str(path))


def test_scapy_reads_frames_times_and_comments(tmp_path: Path):
    result = failing()
    path = tmp_path / "x.pcapng"
    path.write_bytes(capture(result))
    frames = [event for event in result.trace if isinstance(event.data, bytes)]
    found = packets(path)
    assert [bytes(packet) for packet in found] == [event.data for event in frames]
    assert [round((packet.time - START // 10**9) * 10**9) for packet in found] == [
        e.time - START // 10**9 * 10**9 for e in frames
    ]
    comments = [comment.decode() for comment in found[0].comments]
    assert comments == [
        "step 2 send: SYN (cases/close/crossing-fins.yaml:5)",
        "SYN seq=irs win=65535 <mss 1460, sackOK>",
        "before: call: listen(1) -> None",
    ]
    last = found[-1].comments[0].decode()
    assert last == "step 5 expect: ACK seq=fin.end (cases/close/crossing-fins.yaml:8) <-- the finding"
    assert [packet.direction for packet in found][:2] == [2, 1]


def test_a_probe_says_that_it_is_one(tmp_path: Path):
    path = tmp_path / "x.pcapng"
    path.write_bytes(capture(passing()))
    assert sum(b"(probe)" in packet.comments[0] for packet in packets(path)) == 1


@pytest.mark.skipif(shutil.which("tshark") is None, reason="no tshark here")
def test_tshark_reads_it(tmp_path: Path):
    path = tmp_path / "x.pcapng"
    path.write_bytes(capture(failing()))
    shown = subprocess.run(
        ["tshark", "-r", path, "-T", "fields", "-e", "frame.comment"], check=True, capture_output=True
    )
    assert b"step 2 send: SYN" in shown.stdout


def test_only_what_failed_is_captured_unless_all_is_asked_for(tmp_path: Path):
    failed, everything = Captures(tmp_path / "failed"), Captures(tmp_path / "all", "all")
    for verdict in Verdict:
        result = other(verdict, f"close/{verdict}[ip=v4]")
        wanted = verdict in ("FAIL", "INCONCLUSIVE", "ERROR")
        assert (failed.add(result) is not None) == wanted
        path = everything.add(result)
        assert path == tmp_path / "all" / "close" / f"{verdict}[ip=v4].pcapng"
        assert len(packets(path)) == 6
    assert everything.add(passing(trace=[])) is None


def test_a_disk_without_room_is_told_once_and_leaves_no_half_file(tmp_path: Path):
    (tmp_path / "captures").write_text("a file where a folder should be")
    told = io.StringIO()
    captures = Captures(tmp_path / "captures", stderr=told)
    assert captures.add(failing("a")) is None
    assert captures.add(failing("b")) is None
    assert captures.failed
    assert told.getvalue().count("\n") == 1


def test_a_write_that_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch):
    def half(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    captures = Captures(tmp_path, stderr=io.StringIO())
    assert captures.add(failing("a")) is None
    assert list(tmp_path.iterdir()) == []


@given(st.text(min_size=1))
def test_no_id_leads_out_of_the_folder(id_):
    name = file_name(id_)
    assert not name.is_absolute()
    assert ".." not in name.parts
    assert all(0 < len(part) < 200 and part.isascii() and part.isprintable() for part in name.parts)


def test_ids_that_differ_have_names_that_differ():
    ids = ["a b", "a_b", "a/b", "a//b", "../a", "a" * 300, "a" * 301, "a[x=<ts>]", "a[x=_ts_]", ".a", "a"]
    assert len({file_name(id_) for id_ in ids}) == len(ids)


@given(st.text(), st.binary(max_size=100), st.integers(0, 2**63))
def test_any_trace_makes_a_capture(text, frame, time):
    result = failing(title=text, reason=text)
    result.trace = [Event(time, "note", "", -1, text * 50), Event(time, "seen", "main", -1, frame)]
    data = capture(result)
    assert len(data) % 4 == 0
