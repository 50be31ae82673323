"""`conformance diff`: what differs, why, both ladders, and the exit code."""

from __future__ import annotations

from pathlib import Path

from browsing import OTHER, written
from click.testing import CliRunner
from report_samples import event, failing, other, passing

from conformance.cli import main
from conformance.engine.result import Verdict
from conformance.report.compare import Comparison


def run(*arguments: object):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def pair(folder: Path, a, b, **rest) -> tuple[Path, Path]:
    return written(folder / "a.jsonl", a), written(folder / "b.jsonl", b, **rest)


def test_the_same_results_are_no_difference_even_at_other_times(tmp_path):
    late = failing("two", started=7_000_000_000, duration=9.0)
    late.trace.insert(0, event(1, "note", 0, "waited for a slot"))
    found = run("diff", *pair(tmp_path, [passing("one"), failing("two")], [late, passing("one")]))
    assert found.exit_code == 0, found.output
    assert "no difference in 2 variations" in found.output


def test_another_verdict_is_told_with_its_cause_and_both_ladders(tmp_path):
    found = run("diff", *pair(tmp_path, [passing("one"), passing("two")], [failing("one"), passing("two")]))
    assert found.exit_code == 1
    assert "1 of 2 variations differ" in found.output
    assert "PASS -> FAIL  one" in found.output
    assert "b: the ACK does not count our FIN (flags: ACK expected, FIN,ACK seen; ack:" in found.output
    both = [line for line in found.output.splitlines() if " | " in line and line.count("SYN seq=irs") == 2]
    assert both, found.output


def test_the_same_verdict_for_another_cause_is_a_difference(tmp_path):
    other_cause = failing("one")
    other_cause.finding = other_cause.finding.__class__(
        *[
            "nothing came" if name == "message" else getattr(other_cause.finding, name)
            for name in other_cause.finding.__dataclass_fields__
        ]
    )
    found = run("diff", *pair(tmp_path, [failing("one")], [other_cause]))
    assert found.exit_code == 1
    assert "FAIL -> FAIL  one" in found.output
    assert "nothing came" in found.output


def test_what_only_one_has_and_how_targets_differ(tmp_path):
    a, b = pair(tmp_path, [passing("one")], [passing("two")], target=OTHER)
    found = run("diff", a, b)
    assert found.exit_code == 1
    for part in ("PASS -> not run  one", "not run -> PASS  two", "target name: linux -> lwip:full"):
        assert part in found.output


def test_a_reason_that_names_the_target_is_no_difference(tmp_path):
    a = [other(Verdict.UNSUPPORTED, "one", "linux has no such thing")]
    b = [other(Verdict.UNSUPPORTED, "one", "lwip has no such thing")]
    assert Comparison(*pair(tmp_path, a, b)).changes == []


def test_an_unfinished_run_is_told(tmp_path):
    a, b = pair(tmp_path, [passing("one")], [passing("one")])
    b.write_bytes(b.read_bytes().rsplit(b"\n", 2)[0] + b"\n")
    assert "no footer" in run("diff", a, b).output


def test_wrong_input_gets_one_line(tmp_path):
    a, _ = pair(tmp_path, [passing("one")], [])
    (tmp_path / "x.jsonl").write_text("hello\n")
    line = a.read_text().splitlines()
    (tmp_path / "y.jsonl").write_text(f'{line[0]}\n{{"type": "result", "id": 3}}\n')
    for bad, says in (
        ("x.jsonl", "this is no report"),
        ("y.jsonl", "y.jsonl:2: this is no result"),
        ("none", "there is no such"),
    ):
        found = run("diff", a, tmp_path / bad)
        assert found.exit_code == 2
        assert says in found.output
        assert len(found.output.splitlines()) == 1
        found = run("report", tmp_path / bad, "-o", tmp_path / "p.html")
        assert (found.exit_code, len(found.output.splitlines())) == (2, 1)
    assert not (tmp_path / "p.html").exists()


def test_the_page_of_a_comparison(tmp_path):
    page = tmp_path / "deep" / "diff.html"
    found = run("diff", *pair(tmp_path, [passing("one")], [failing("one")]), "-o", page)
    assert found.exit_code == 1
    assert page.read_text().startswith("<!doctype html>")
