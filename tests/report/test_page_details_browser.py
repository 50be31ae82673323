"""The report in a real browser: many runs on the first screen, states that were missed, results without traces."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from browsing import LINUX, OTHER, browser, written  # noqa: F401 - a fixture
from report_samples import REQUIREMENT, failing, passing

from conformance.engine.result import Finding, NamedState, Place
from conformance.report import brief
from conformance.report.html.page import write


@pytest.fixture
def shown(browser, tmp_path):  # noqa: F811
    def show(reports, fragment: str = ""):
        write(reports, tmp_path / "page.html")
        browser.open(tmp_path / "page.html", fragment, height=3000)
        return browser

    yield show
    assert browser.errors() == []


def case(id_: str) -> str:
    return f"#/case/{quote(id_, safe='')}"


@pytest.mark.parametrize("count", [2, 5])
def test_of_many_runs_the_first_screen_has_every_rfc_and_level(shown, tmp_path, count):
    target = [dict(OTHER if number else LINUX) for number in range(count)]
    reports = [
        written(tmp_path / f"{number}.jsonl", [failing() if number else passing()], target[number])
        for number in range(count)
    ]
    page = shown(reports)
    row = "[...document.querySelectorAll('table.runs tbody tr')].map((row) => row.innerText.split(/\\s+/))"
    decided = page.js(f"return {row}.map((cells) => cells.slice(3, 7))")
    assert decided[:2] == [["1", "1", "0", "0"], ["1", "0", "0", "1"]]  # decided, met, deviating, failed
    rows = page.js("return [...document.querySelectorAll('table.beside tbody tr')].map((row) => row.innerText)")
    assert [text.split("\t")[0] for text in rows] == ["BEHAVIOUR", "RFC 9293", "BEHAVIOUR"]
    assert [text.split("\t")[1:3] for text in rows] == [["1 / 1", "0 / 1 ✗1"]] * 3
    page.click("table.beside tr.sub a.fail")
    assert page.texts(".matrix .what > a") == [REQUIREMENT]
    for part in ("status=F", "rfc=9293", "level=BEHAVIOUR", "run=1"):
        assert part in page.js("return location.hash")


def missed():
    """A result that ends in another state than the one it should."""
    result = failing(states=[NamedState(3, "main", "CLOSE-WAIT", ("CLOSED", "LISTEN"), "P5 drew RST", "LISTEN")])
    place = Place("cases/close/crossing-fins.yaml", 7, 5)
    result.finding = Finding(
        place, 3, "another state", (REQUIREMENT,), "state: CLOSE-WAIT", "CLOSE-WAIT", "CLOSED or LISTEN", ()
    )
    result.trace = [one for one in result.trace if one.step in (0, 1, 3)]
    return result


def test_a_state_that_was_missed_is_not_drawn_as_if_the_target_were_in_it(shown, tmp_path):
    page = shown([written(tmp_path / "a.jsonl", [missed()])], case(missed().id))
    page.until("return document.querySelector('svg.ladder')")
    assert page.texts(".ladder text.state.failing") == ["✗ CLOSED or LISTEN, not CLOSE-WAITP5 drew RST"]
    assert page.texts(".ladder text.note.expected") == ["expected: CLOSE-WAIT"]
    assert page.texts(".ladder text.note.failing") == ["seen: CLOSED or LISTEN"]
    assert page.texts(".ladder .arrow.expected") == []  # it is no segment
    assert page.texts("tr.failing strong") == ["✗ not CLOSE-WAIT"]


def test_a_step_without_events_stands_in_the_ladder_too(shown, tmp_path):
    page = shown([written(tmp_path / "a.jsonl", [missed()])], case(missed().id))
    page.until("return document.querySelector('svg.ladder')")
    steps = page.texts(".ladder text.step")
    assert [text.removeprefix("▶ ").split()[1] for text in steps] == ["1", "2", "3", "4"]


def test_a_result_that_was_kept_without_its_trace_says_so(shown, tmp_path):
    written(tmp_path / "a.jsonl", [failing(), passing("b[x='y]")])
    brief.write(tmp_path / "a.jsonl", tmp_path / "a.jsonl.xz")
    page = shown([tmp_path / "a.jsonl.xz"], case(failing().id))
    assert "kept without its traces" in page.text()
    assert "the ACK does not count our FIN" in page.text()
    assert page.texts(".ladder-place, .steps, button.capture") == []
    page.go(case("b[x='y]"))
    file = passing().file
    assert page.texts(".command code") == [rf"conformance run '{file}::[x='\''y]' --target='linux'"]


def test_a_comparison_names_a_case_once_with_the_variations_that_changed(shown, tmp_path):
    ids = [f"close/crossing-fins[ip={ip}]" for ip in ("v4", "v6")]
    reports = [
        written(tmp_path / "a.jsonl", [*map(passing, ids), passing("open/x")]),
        written(tmp_path / "b.jsonl", [*map(failing, ids), failing("open/x")]),
    ]
    page = shown(reports, "#/diff?a=0&b=1")
    assert page.texts("#changed strong") == ["3"]
    assert page.texts(".changes li > a") == ["close/crossing-fins", "open/x"]
    assert page.texts(".changes details summary") == ["2 variations"]
    page.find(".changes summary").click()
    page.click(".changes details a:last-of-type")
    assert page.texts("h2") == [ids[1]]
    assert len(page.texts(".two h3")) == 2
