"""The committed models can be read, agree with each other's forms, and are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.learn import files
from conformance.learn.alphabet import load
from conformance.learn.diff import Side, compare
from conformance.learn.properties import verify

FOLDER = Path(__file__).parents[2] / "reports" / "models"
MODELS = sorted(FOLDER.glob("*.json"))


def test_there_are_models_of_each_stack():
    assert {path.stem.split("-")[0] for path in MODELS} == {"linux", "lwip", "gvisor"}


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_committed_model_is_whole(path):
    model = files.read(path)
    assert model.edges == files.read(path.with_suffix(".dot")).edges
    assert model.letters == load(str(model.facts["alphabet"])).letters
    assert path.with_suffix(".svg").is_file()
    said = path.with_suffix(".txt").read_text()
    for verdict in verify(model, load(str(model.facts["alphabet"]))):
        kept = "kept" if verdict.word is None else "BROKEN"
        assert f"property {verdict.property.name}: {verdict.property.title}: {kept}" in said


def test_the_page_counts_their_differences():
    page = (FOLDER / "README.md").read_text()
    sides = {name: Side(name, files.read(FOLDER / f"{name}-flags.json")) for name in ("linux", "lwip", "gvisor")}
    counts = [len(compare(sides[a], sides[b])) for a, b in (("linux", "lwip"), ("linux", "gvisor"), ("lwip", "gvisor"))]
    assert f"Linux and lwIP differ in {counts[0]} ways over `flags`, Linux and gVisor in {counts[1]}" in page
    assert f"lwIP and gVisor in {counts[2]}." in page
