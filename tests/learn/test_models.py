"""The committed models can be read, agree with each other's forms, and are compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from conformance.catalogue import load as catalogue_load
from conformance.learn import files, rules
from conformance.learn.alphabet import load
from conformance.learn.diff import by_table
from conformance.learn.fresh import is_fresh, judged_by
from conformance.learn.page import BEGIN, END, models, stale, tables, take, written
from conformance.learn.properties import verify

FOLDER = Path(__file__).parents[2] / "reports" / "models"
BASELINES = FOLDER.parent / "baselines"
MODELS = sorted(FOLDER.glob("*.json"))


def test_there_are_models_of_each_stack():
    assert {path.stem.split("-")[0] for path in MODELS} >= {"linux", "lwip", "gvisor", "libslirp", "ns3"}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_committed_model_is_whole(path):
    model = files.read(path)
    assert model.edges == files.read(path.with_suffix(".dot")).edges
    assert model.letters == load(str(model.facts["alphabet"])).letters
    assert path.with_suffix(".svg").is_file()
    if not model.facts["finished"] or not path.with_suffix(".txt").exists():  # the page names those
        return
    said = path.with_suffix(".txt").read_text()
    for verdict in verify(model, load(str(model.facts["alphabet"]))):
        kept = "kept" if verdict.word is None else "BROKEN"
        assert f"property {verdict.property.name}: {verdict.property.title}: {kept}" in said


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_committed_finding_has_the_level_of_its_requirement(path):
    for line in path.with_suffix(".txt").read_text().splitlines() if path.with_suffix(".txt").exists() else ():
        head, _, rest = line.partition(": ")
        level, _, requirement = head.rpartition(" ")
        if rest and level.isupper():
            assert str(catalogue_load().get(requirement).level) == level


def test_verdicts_are_older_when_a_rule_changes(tmp_path, monkeypatch):
    findings = tmp_path / "findings.txt"
    findings.write_text(f"{judged_by()}\n")
    assert is_fresh(findings)
    for change, same in (("# a remark\n{}", True), ("{}\n_MORE = 1\n", False)):
        changed = tmp_path / "rules.py"
        changed.write_text(change.format(Path(rules.__file__).read_text()))
        with monkeypatch.context() as patched:
            patched.setattr(rules, "__file__", str(changed))
            judged_by.cache_clear()
            assert is_fresh(findings) is same
        judged_by.cache_clear()


def test_the_page_has_the_models_and_says_whose_verdicts_are_old():
    page = (FOLDER / "README.md").read_text()
    assert page == written(page, models(FOLDER), stale(FOLDER)), "run: python -m conformance.learn.page --stale"


def test_a_model_with_old_verdicts_is_named(tmp_path):
    for suffix in (".json", ".txt"):
        (tmp_path / f"linux-flags{suffix}").write_bytes((FOLDER / f"linux-flags{suffix}").read_bytes())
    findings = tmp_path / "linux-flags.txt"
    findings.write_text(f"{judged_by()}\n{findings.read_text().partition(chr(10))[2]}")
    assert stale(tmp_path) == []
    findings.write_text(findings.read_text().partition("\n")[2])
    assert stale(tmp_path) == ["linux-flags"]
    assert "Not judged by today's rules (`--stale` does it): linux-flags." in tables(models(tmp_path), stale(tmp_path))


def _of(name: str) -> dict[str, list[str]]:
    """What a stack's baseline says: requirement -> cases."""
    said = yaml.safe_load((BASELINES / f"{name}.yaml").read_text())
    found = _of(said["like"]) if "like" in said else {}
    for entry in said["deviations"] or ():
        cases = entry.get("cases") or {entry["case"]: entry.get("requirement")}
        for case, names in cases.items() if entry["verdict"] in ("FAIL", "DEVIATION") else ():
            for one in [names] if isinstance(names, str) else names or ["*"]:
                found.setdefault(one, []).append(str(case).partition("[")[0])
    return found


def _stack(path: Path) -> str:
    """The stack of a model, by its baseline."""
    names = [baseline.stem for baseline in BASELINES.glob("*.yaml")]
    return max((name for name in names if path.stem.startswith(f"{name}-")), key=len)


def test_every_finding_is_caught_by_a_case():
    page = (FOLDER / "README.md").read_text()
    rows = re.findall(r"^\| ([\w.-]+) \| ((?:`RFC[^`]+` ?)+)\| [^|]+ \| `([^`]+)` \|$", page, re.MULTILINE)
    named = {(stack, one): case for stack, ids, case in rows for one in re.findall(r"`([^`]+)`", ids)}
    known = {stack: _of(stack) for stack in map(_stack, MODELS)}
    lacking, used = set(), set()
    for path in FOLDER.glob("*.txt"):
        stack = _stack(path)
        for one in re.findall(r"^(?!property )[A-Za-z ]+ (RFC[\w.-]+): ", path.read_text(), re.MULTILINE):
            if one in known[stack]:
                continue
            used.add((stack, one))
            if named.get((stack, one)) not in {case for cases in known[stack].values() for case in cases}:
                lacking.add((path.stem, one))
    assert lacking == set(), "a finding that no case catches: make one, or say in README.md from which it follows"
    assert set(named) - used == set(), "rows of README.md that no finding needs"


def test_a_page_without_marks_is_refused():
    with pytest.raises(ValueError, match="has no"):
        written("# Models", {})


def test_what_a_run_wrote_is_taken(tmp_path):
    learned, folder = tmp_path / "linux-flags", tmp_path / "models"
    learned.mkdir()
    folder.mkdir()
    for name, suffix in (("model.json", ".json"), ("findings.txt", ".txt")):
        (learned / name).write_bytes((FOLDER / f"linux-flags{suffix}").read_bytes())
    take(learned, folder)
    found = models(folder)
    assert list(found) == ["linux-flags"]
    assert (folder / "linux-flags.txt").is_file()
    assert "| [linux-flags](linux-flags.svg) | Linux 6.18 | 4 | 7 |" in written(f"{BEGIN}{END}", found)


def test_a_file_is_held_against_the_event_table():
    flags, catalogue = load("flags"), catalogue_load()
    linux, gvisor = (
        by_table(files.read(FOLDER / f"{name}-flags.json"), flags, catalogue) for name in ("linux", "gvisor")
    )
    assert gvisor(("SYN", "SYN")) == "as the RFC has it"
    assert linux(("SYN", "SYN")).startswith("MUST RFC9293-3.10.7.4-SYN-RECEIVED-SYN-OOW: ACK ")
    assert linux(("SYN", "FIN", "FIN")) == gvisor(("SYN", "FIN", "FIN")) == ""  # left open
    assert linux(("SYN", "no such input")) == ""
