"""The commands: their exit codes, their one-line errors, and what they leave in folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from learn.machines import COFFEE

from conformance.cli import main
from conformance.learn import files
from conformance.learn.alphabet import load
from conformance.learn.model import apart
from conformance.learn.session import open_asker
from conformance.targets.base import TargetError

pytest.importorskip("aalpy")
MODELS = Path(__file__).parents[2] / "reports" / "models"


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def lwip():
    try:
        open_asker("lwip", load("flags")).close()
    except TargetError as problem:
        pytest.skip(str(problem))
    return "lwip"


def test_learning_stops_at_its_limit_and_goes_on(lwip, tmp_path):
    words = ("learn", lwip, "--alphabet", "flags", "--words", 50, "--depth", 0, "--out", tmp_path)
    cut = call(*words, "--queries", 20)
    assert cut.exit_code == 3
    assert "not finished: 20 queries" in cut.output
    whole = call(*words)
    assert whole.exit_code == 0, whole.output
    assert "correct if the stack has at most" in whole.output
    assert "RFC9293-3.10.7.2-ACK" in whole.output
    assert "property no-rst-to-rst" in whole.output
    model = files.read(tmp_path / "model.json")
    assert model.facts["statistics"]["resumed"] == 20
    cases = sorted((tmp_path / "cases").glob("*.yaml"))
    assert cases
    assert call("lint", *cases).exit_code == 0
    other = call("learn", lwip, "--alphabet", "server", "--out", tmp_path)
    assert other.exit_code == 3
    assert "has the answers of" in other.output
    assert other.output.count("\n") == 1


def test_what_is_like_a_model_is_learned_with_fewer_words(lwip, tmp_path):
    like = MODELS / "lwip-flags.json"
    words = ("--alphabet", "flags", "--words", 0, "--depth", 0, "--no-check")
    result = call("learn", lwip, *words, "--like", like, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    model = files.read(tmp_path / "model.json")
    assert apart(model, files.read(like), model.letters) is None
    assert set(model.facts["statistics"]["counterexamples"]) == {"earlier answers"}


def test_diff_says_by_its_exit_code_whether_there_is_a_difference(tmp_path):
    mutant = COFFEE.ordered()
    mutant.edges[2]["button"] = ("tea", mutant.edges[2]["button"][1])
    for name, model in (("a.json", COFFEE), ("b.dot", mutant)):
        (tmp_path / name).write_text(files.to_json(model) if name.endswith("json") else files.to_dot(model))
    assert call("learn", "--diff", tmp_path / "a.json", tmp_path / "a.json").exit_code == 0
    differs = call("learn", "--diff", tmp_path / "a.json", tmp_path / "b.dot")
    assert differs.exit_code == 1
    assert "water; coin; button" in differs.output
    assert "in paid: tea" in differs.output


def test_diff_of_a_target_and_a_model_of_it_is_asked_live(lwip, tmp_path):
    words = ("--alphabet", "flags", "--words", 30, "--depth", 0)
    first = call("learn", lwip, *words, "--no-check", "--out", tmp_path / "x")
    assert first.exit_code == 0, first.output
    same = call("learn", "--diff", lwip, tmp_path / "x" / "model.json", *words, "--out", tmp_path / "d")
    assert same.exit_code == 0, same.output
    assert "0 differences" in same.output


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("learn", "a", "b"), 2, "takes 1 target"),
        (("learn", "--diff", "linux"), 2, "takes 2 target"),
        (("learn", "linux", "--alphabet", "nonesuch"), 2, "no alphabet 'nonesuch'"),
        (("learn", "nonesuch"), 3, "is not one of"),
        (("learn", "--diff", "nonesuch.json", "b.dot"), 2, "can't be read"),
        (("learn", "linux", "--like", "nonesuch.json"), 2, "can't be read"),
        (("learn", "linux", "--like", MODELS / "lwip-flags.json"), 2, "over other inputs than server"),
        (("explore", "192.0.2.7"), 3, "no host can be learned"),
    ],
)
def test_wrong_usage_is_told_in_one_line(words, code, said):
    result = call(*words)
    assert result.exit_code == code
    assert said in result.output
    assert result.output.count("\n") == 1


def test_an_alphabet_with_mistakes_is_refused_with_places(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("title: x\ninputs:\n  SYN:\n    send: SYNN\n  w:\n    wait: 1s\nseeds:\n  - SYN; what\nmore: 1\n")
    result = call("learn", "linux", "--alphabet", file)
    assert result.exit_code == 2
    for place in (":4:11:", ":5:3:", ":8:5:", ":9:1:"):
        assert f"mine.yaml{place}" in result.output


def test_exploring_leaves_cases(lwip, tmp_path):
    result = call("explore", lwip, "--walks", 60, "--out", tmp_path)
    assert result.exit_code == 1, result.output
    assert "findings in" in result.output
    assert list(tmp_path.glob("finding-*.yaml"))


def test_generating_leaves_a_suite_and_overwrites_none(tmp_path):
    result = call("generate", tmp_path, "--alphabet", "table-active")
    assert result.exit_code == 0, result.output
    assert "wrong next states" in result.output
    assert call("lint", tmp_path / "cases").exit_code == 0
    again = call("generate", tmp_path)
    assert again.exit_code == 2
    assert "is not empty" in again.output
