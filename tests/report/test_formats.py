"""Markdown, KTAP and the badge: what they say of a report, and that nothing in it is markup of theirs."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest
from browsing import written
from click.testing import CliRunner
from report_samples import REQUIREMENT, failing, other, passing

from conformance.catalogue.catalogue import load
from conformance.cli import main
from conformance.engine.result import Verdict
from conformance.report import formats

MUST = "RFC9293-MUST-13"


def judged(path: Path, *results) -> Path:
    """A report of (result, judgement, known) each."""
    written(path, [result for result, *_ in results])
    lines = path.read_text().splitlines()
    for number, (_, judgement, *known) in enumerate(results, 1):
        line = json.loads(lines[number]) | {"judgement": judgement, "known": known[0] if known else None}
        lines[number] = json.dumps(line)
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def report(tmp_path) -> Path:
    return judged(
        tmp_path / "report.jsonl",
        (passing("one"), "expected"),
        (failing("two[ip=v4]"), "unexpected fail"),
        (failing("three"), "known deviation", "by design # see 3.1"),
        (passing("four"), "unexpected pass"),
        (other(Verdict.UNSUPPORTED, "five", "no agent"), "unsupported, not in the baseline"),
        (other(Verdict.ERROR, "six", "our socket died"), "not decided"),
        (other(Verdict.DEVIATION, "seven", "a SHOULD"), "deviation not in the baseline"),
    )


def test_markdown_has_the_levels_and_what_asks_for_somebody(report):
    text = "\n".join(formats.markdown(formats.Digest(report, load())))
    assert "✓ **2** PASS, △ **1** DEVIATION, ✗ **2** FAIL, ∅ **1** UNSUPPORTED, ! **1** ERROR" in text
    assert re.search(r"^\| BEHAVIOUR \| \d+ \| 1 \| 0 \| 0 \| 1 \| 0 \|$", text, re.MULTILINE)
    assert "1 result(s) are known deviations." in text
    news = text.partition("### 3 that ask for somebody")[2]
    assert [line.split(" | ")[1] for line in news.splitlines()[4:]] == ["two&#91;ip=v4&#93;", "four", "six"]
    assert "cases/close/crossing-fins.yaml&#58;8" in news


def test_markdown_takes_nothing_for_markup(tmp_path):
    evil = "a|b\n<script>x</script> [l](javascript:1) `c` **d** @everyone ![i](http://x) \x1b[31m"
    path = judged(tmp_path / "r.jsonl", (failing(evil, title=evil, reason=evil, finding=None), "unexpected fail"))
    rows = [line for line in formats.markdown(formats.Digest(path, load())) if line.startswith("| ✗ FAIL")]
    assert len(rows) == 1
    assert rows[0].count("|") == 6
    assert not set("<>[]()`*!@\x1b\n") & set(re.sub(r"&#\d+;|&lt;|&gt;", "", rows[0]))


def test_ktap(report):
    lines = list(formats.ktap(report))
    assert lines[:2] == ["KTAP version 1", "1..7"]
    assert [line for line in lines if re.match(r"(not )?ok ", line)] == [
        "ok 1 one",
        "not ok 2 two[ip=v4]",
        "ok 3 three # XFAIL by design \\# see 3.1",
        "not ok 4 four",
        "ok 5 five # SKIP no agent",
        "not ok 6 six",
        "ok 7 seven",
    ]
    assert "# expected: ACK seq=iss+2 ack=irs+102" in lines[: lines.index("not ok 2 two[ip=v4]")]


def test_ktap_counts_what_was_not_run(tmp_path):
    path = written(tmp_path / "r.jsonl", [passing("one")])
    path.write_text(path.read_text().replace('"not_run":[]', '"not_run":["two"]'))
    assert list(formats.ktap(path))[1:] == ["1..2", "ok 1 one", "not ok 2 two"]


@pytest.mark.parametrize(
    ("results", "says"),
    [
        ([passing("a", requirements=(MUST,))], "1 of 1 MUST met"),
        ([passing("a", requirements=(MUST,)), passing("b", requirements=("RFC9293-MUST-12",))], "2 of 2 MUST met"),
        ([failing("a", requirements=(MUST,), finding=None)], "0 of 1 MUST met"),
        ([passing("a", requirements=(REQUIREMENT,))], "nothing decided"),
    ],
)
def test_the_badge(tmp_path, results, says):
    drawn = formats.badge(formats.Digest(written(tmp_path / "r.jsonl", results), load()))
    assert ET.fromstring(drawn).get("aria-label") == f"TCP conformance: {says}"
    interrupted = formats.badge(formats.Digest(written(tmp_path / "r.jsonl", results, how="interrupted"), load()))
    assert ("incomplete" in interrupted) == (says != "nothing decided")


def test_the_command_writes_each(report, tmp_path):
    for name, begins in (("markdown", "## TCP"), ("ktap", "KTAP version 1"), ("badge", "<svg")):
        found = CliRunner().invoke(main, ["export", name, str(report), "-o", str(tmp_path / "deep" / name)])
        assert (found.exit_code, found.output) == (0, "")
        assert (tmp_path / "deep" / name).read_text().startswith(begins)
        assert CliRunner().invoke(main, ["export", name, str(report)]).output.startswith(begins)
        found = CliRunner().invoke(main, ["export", name, str(tmp_path / "none")])
        assert (found.exit_code, len(found.output.splitlines())) == (2, 1)


def test_the_published_schema_fits_every_line(report):
    schema = json.loads(CliRunner().invoke(main, ["export", "schema"]).output)
    for line in report.read_text().splitlines():
        jsonschema.validate(json.loads(line), schema)
