"""The page of all stacks, and the brief results that it is made of: what is committed is what the commands make."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import jsonschema
import pytest
from browsing import LINUX, OTHER, written
from click.testing import CliRunner
from report_samples import REQUIREMENT, failing, other, passing

from conformance.catalogue import load
from conformance.cli import main
from conformance.engine.result import Verdict
from conformance.report import brief, jsonl
from conformance.report.jsonl import Header, Writer
from conformance.report.matrix import matrix
from conformance.report.reading import Reading, ReportError

ROOT = Path(__file__).parents[2]
RESULTS = sorted((ROOT / "reports" / "results").glob("*"))
VALIDATOR = jsonschema.Draft202012Validator(json.loads(jsonl.JSON_SCHEMA.read_text()))


def unpacked(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in lzma.decompress(path.read_bytes()).splitlines()]


def invoke(*words: object):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_the_committed_page_is_what_the_command_makes_of_the_committed_results(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    line = next(one for one in (ROOT / "reports" / "about.md").read_text().splitlines() if "export matrix" in one)
    words = line.split("`")[1].split()
    assert words[:3] == ["conformance", "export", "matrix"]
    page = words[words.index("-o") + 1]
    made = invoke(*words[1 : words.index("-o")], "-o", tmp_path / "page.md")
    assert made.exit_code == 0, made.output
    assert (ROOT / page).read_text() == (tmp_path / "page.md").read_text(), f"make it again: {' '.join(words)}"


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name)
def test_committed_results_are_whole_and_brief(path):
    assert path.name.endswith(brief.SUFFIX)
    for line in unpacked(path):
        VALIDATOR.validate(line)
    reading = Reading(path)
    assert sum(1 for _ in reading) > 1000
    assert reading.problems == []
    assert reading.header["brief"] is True
    name = reading.header["target"]["name"]
    assert path.name.removesuffix(brief.SUFFIX) == name.replace(":", "-")
    assert reading.header["options"]["requirement"] == []


def test_committed_results_are_small():
    assert RESULTS
    assert sum(path.stat().st_size for path in RESULTS) < 1 << 20


def run(path: Path, results, target=LINUX) -> Path:
    """A report with the judgement and the reason of a baseline for what failed."""
    writer = Writer(path, Header(("conformance", "run"), "sha256:0", target))
    for result, known in results:
        writer.write(result, "known deviation" if known else "unexpected fail", known=known)
    writer.close()
    return path


def test_the_matrix_has_a_sign_for_each_stack_and_what_it_does_differently_by_reason(tmp_path):
    reason = "It counts no FIN <script> | [x](http://x) tcp_input."
    bad = [(failing("close/a[ip=v4]"), reason), (failing("close/b[ip=v6]"), reason), (failing("close/c"), None)]
    paths = [
        run(tmp_path / "a.jsonl", [(passing("close/a[ip=v4]"), None)]),
        run(tmp_path / "b.jsonl", [*bad, (other(Verdict.UNSUPPORTED, "open/x"), None)], OTHER),
        run(tmp_path / "c.jsonl", [(other(Verdict.UNSUPPORTED, "close/a[ip=v4]", "no urgent"), None)], OTHER),
    ]
    lines = list(matrix(paths, load(), "A word."))
    assert lines[2] == "A word."
    assert next(line for line in lines if f"`{REQUIREMENT}`" in line and "BEHAVIOUR |" in line).endswith(
        "| ✓ | ✗ | ∅ |"
    )
    rows = [line for line in lines if line.startswith("| ✗ |")]
    assert len(rows) == 2
    assert rows[0].startswith(r"| ✗ | It counts no FIN \<script\> \| \[x\](http\://x) tcp\_input. | RFC 9293 3.10.7.4")
    assert rows[0].endswith(f"BEHAVIOUR: `{REQUIREMENT}` | 2 | `close/a`, `close/b` |")
    at = lines.index("Not in its baseline:")
    assert "the ACK does not count our FIN" in lines[at + 4]
    assert "| ∅ | no urgent |  | 1 | `close/a` |" in lines


def test_a_run_that_is_not_whole_says_so(tmp_path):
    lines = list(matrix([written(tmp_path / "a.jsonl", [passing()], how="interrupted")], load()))
    assert any(line.startswith("> linux is not the whole story: ") for line in lines)


def test_a_brief_report_is_read_as_any_other_and_the_same_results_make_the_same_lines(tmp_path):
    ids = ["b[ip=v4]", "a[ip=v4]"]
    first = written(tmp_path / "1" / "report.jsonl", [passing(ids[0]), failing(ids[1])])
    second = written(tmp_path / "2" / "report.jsonl", [failing(ids[1], duration=9.0, attempts=2), passing(ids[0])])
    for folder in ("1", "2"):
        made = invoke("export", "brief", tmp_path / folder, "-o", tmp_path / f"{folder}.jsonl.xz")
        assert made.exit_code == 0, made.output
    lines = [unpacked(tmp_path / f"{name}.jsonl.xz") for name in "12"]
    for line in lines[0]:
        VALIDATOR.validate(line)
    started = {lines[number][0]["started"] for number in (0, 1)}
    texts = [json.dumps(found[1:-1]) for found in lines]
    for moment in started:
        texts = [text.replace(moment, "") for text in texts]
    assert texts[0] == texts[1]
    assert [line["id"] for line in lines[0][1:-1]] == sorted(ids)
    assert all(line["trace"] == line["steps"] == [] for line in lines[0][1:-1])
    # What it came to is the same as in the whole report, for every reader.
    same = invoke("diff", first, tmp_path / "2.jsonl.xz")
    assert same.exit_code == 0, same.output
    assert second.stat().st_size > (tmp_path / "2.jsonl.xz").stat().st_size
    assert invoke("report", tmp_path / "1.jsonl.xz", "-o", tmp_path / "page.html").exit_code == 0
    told = invoke("export", "scapy", tmp_path / "1.jsonl.xz", ids[1])
    assert told.exit_code == 2
    assert "without its traces" in told.output


def test_a_brief_report_needs_its_name_and_a_packed_one_that_is_cut_is_told(tmp_path):
    path = written(tmp_path / "report.jsonl", [passing()])
    assert invoke("export", "brief", path, "-o", tmp_path / "x.jsonl").exit_code == 2
    whole = tmp_path / "x.jsonl.xz"
    brief.write(path, whole)
    (tmp_path / "cut.jsonl.xz").write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(ReportError, match="unpacked"):
        list(Reading(tmp_path / "cut.jsonl.xz"))
    (tmp_path / "no.jsonl.gz").write_bytes(b"{}")
    assert invoke("report", tmp_path / "no.jsonl.gz", "-o", tmp_path / "p.html").exit_code == 2
