"""`conformance merge` and `--shard`: the parts of a run are the run."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from browsing import OTHER, written
from click.testing import CliRunner
from report_samples import failing, other, passing

from conformance.cli import main
from conformance.engine.result import Verdict
from conformance.report.jsonl import JSON_SCHEMA, read
from conformance.selection import shard_of


def merge(tmp_path: Path, *arguments: object):
    return CliRunner().invoke(main, ["merge", *map(str, arguments), "-o", str(tmp_path / "all.jsonl")])


def sharded(path: Path, results, shard: str) -> Path:
    lines = written(path, results).read_text().splitlines()
    header = json.loads(lines[0]) | {"options": {"shard": shard}, "selected": len(lines) - 2}
    path.write_text("\n".join([json.dumps(header), *lines[1:]]) + "\n")
    return path


def test_parts_become_one_whole_report(tmp_path):
    a = sharded(tmp_path / "a.jsonl", [passing("one"), failing("two")], "1/2")
    b = sharded(tmp_path / "b.jsonl", [other(Verdict.UNSUPPORTED, "three")], "2/2")
    found = merge(tmp_path, a, b)
    assert found.exit_code == 0, found.output
    assert "3 results: 1 PASS, 1 FAIL, 1 UNSUPPORTED" in found.output
    whole = read(tmp_path / "all.jsonl")
    assert whole.complete
    assert [line["id"] for line in whole.results] == ["one", "two", "three"]
    assert whole.results == (*read(a).results, *read(b).results)
    assert whole.header["selected"] == 3
    schema = json.loads(JSON_SCHEMA.read_text())
    for line in (tmp_path / "all.jsonl").read_text().splitlines():
        jsonschema.validate(json.loads(line), schema)


def test_a_missing_shard_is_no_success(tmp_path):
    found = merge(tmp_path, sharded(tmp_path / "a.jsonl", [passing("one")], "1/3"))
    assert found.exit_code == 3
    assert "shard 2/3 is missing" in found.output
    assert "shard 3/3 is missing" in read(tmp_path / "all.jsonl").problems[0]


def test_a_crashed_part_and_a_finding_are_told_by_the_exit_code(tmp_path):
    a = written(tmp_path / "a.jsonl", [passing("one")])
    b = written(tmp_path / "b.jsonl", [failing("two")])
    b.write_text(b.read_text().replace('"judgement":"expected"', '"judgement":"unexpected fail"'))
    assert merge(tmp_path, a, b).exit_code == 1
    a.write_bytes(a.read_bytes().rsplit(b"\n", 2)[0] + b"\n")
    found = merge(tmp_path, a)
    assert found.exit_code == 3
    assert read(tmp_path / "all.jsonl").footer["how"] == "crashed"


def test_two_results_of_one_variation_are_refused_unless_the_last_is_asked_for(tmp_path):
    a, b = written(tmp_path / "a.jsonl", [passing("one")]), written(tmp_path / "b.jsonl", [failing("one")])
    found = merge(tmp_path, a, b)
    assert found.exit_code == 2
    assert "has a result in" in found.output
    assert merge(tmp_path, a, b, "--last").exit_code == 0
    assert [line["verdict"] for line in read(tmp_path / "all.jsonl").results] == ["FAIL"]


def test_other_targets_and_suites_are_no_parts(tmp_path):
    a, b = written(tmp_path / "a.jsonl", [passing("one")]), written(tmp_path / "b.jsonl", [passing("two")], OTHER)
    found = merge(tmp_path, a, b)
    assert (found.exit_code, len(found.output.splitlines())) == (2, 1)
    assert "is of target lwip:full" in found.output
    b = written(tmp_path / "b.jsonl", [passing("two")])
    b.write_text(b.read_text().replace("sha256:0", "sha256:1"))
    assert "--any-suite" in merge(tmp_path, a, b).output
    assert merge(tmp_path, a, b, "--any-suite").exit_code == 0
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2"])
def test_what_is_no_shard(text):
    with pytest.raises(ValueError, match="say I/N"):
        shard_of(text)
    found = CliRunner().invoke(main, ["run", f"--shard={text}"])
    assert (found.exit_code, len(found.output.splitlines())) == (2, 1)
