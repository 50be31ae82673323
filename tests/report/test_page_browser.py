"""The report's page in a real browser: links, filters, ladders, keys, widths; and that nothing a target says is run."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from browsing import LINUX, OTHER, browser, written  # noqa: F401 - a fixture
from report_samples import REQUIREMENT, event, failing, other, passing, seen

from conformance.engine.result import Difference, Finding, NamedState, Place, Verdict
from conformance.report.html.page import write
from conformance.report.pcapng import capture
from conformance.report.reading import Reading, result_of
from conformance.tcp.segment import ACK, FIN

IDS = [f"close/crossing-fins[ip={ip}]" for ip in ("v4", "v6")]


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    reports = [
        written(
            folder / "a.jsonl",
            [passing(IDS[0], start="ESTABLISHED"), failing(IDS[1]), other(Verdict.UNSUPPORTED, "open/far[ip=v4]")],
        ),
        written(folder / "b.jsonl", [failing(IDS[0], start="ESTABLISHED"), failing(IDS[1])], OTHER, "interrupted"),
    ]
    write(reports, folder / "report.html")
    return folder / "report.html"


@pytest.fixture
def page(browser, two):  # noqa: F811
    browser.open(two)
    yield browser
    assert browser.errors() == []


def case(id_: str, rest: str = "") -> str:
    return f"#/case/{quote(id_, safe='')}{rest}"


def test_the_first_screen_says_how_conformant_each_run_is(page):
    text = page.text()
    assert "linux (6.18.44)" in text
    assert "lwip:full (2.1.3)" in text
    assert page.texts(".headline strong") == ["0 of 0", "0 of 0"]  # it is no MUST
    rows = page.js("return [...document.querySelectorAll('#run-0 tr.grade')].map((row) => row.innerText.split(/\\s+/))")
    assert rows[-1][0] == "BEHAVIOUR"
    assert rows[-1][2:7] == ["1", "0", "0", "1", "0"]  # decided, met, deviating, failed, unsupported
    assert page.texts("#run-0 .verdicts a") == ["✓ 1 PASS", "✗ 1 FAIL", "∅ 1 UNSUPPORTED"]
    assert any("interrupted" in problem for problem in page.texts("#run-1 .problem"))
    assert page.texts("#run-0 .problem") == []


def test_a_number_of_the_summary_leads_to_just_those_requirements(page):
    page.click("#run-0 tr.grade td.fail a")
    assert page.texts(".matrix .what > a") == [REQUIREMENT]
    assert "status=F" in page.js("return location.hash")


def test_filters_narrow_the_matrix_and_stay_in_the_fragment(page):
    page.go("#/matrix")
    all_of_them = len(page.texts(".matrix .what"))
    page.js(
        "const one = document.querySelector('#filter-rfc'); one.value = '5961'; one.dispatchEvent(new Event('change'))"
    )
    some = len(page.texts(".matrix .what"))
    assert 0 < some < all_of_them
    assert page.js("return location.hash") == "#/matrix?rfc=5961"
    assert all("RFC 5961" in group for group in page.texts(".matrix .group th"))
    page.find("#filter-q").send_keys("challenge")
    page.until("return location.hash.includes('q=challenge')")
    fewer = page.texts(".matrix .what")
    assert 0 < len(fewer) < some
    assert page.texts("#count") == [f"{len(fewer)} of {all_of_them} requirements"]
    # Through a requirement and back: the filters are still there, also after the page is loaded again.
    page.click(".matrix .what a")
    page.click("main a")
    assert page.texts(".matrix .what") == fewer
    page.driver.refresh()
    page.until("return document.querySelectorAll('.matrix .what').length > 0")
    assert page.texts(".matrix .what") == fewer
    assert page.js("return document.querySelector('#filter-q').value") == "challenge"


@pytest.mark.parametrize(
    ("query", "cases"),
    [
        ("", ["close/crossing-fins", "open/far"]),
        ("&verdict=UNSUPPORTED", ["open/far"]),
        ("&verdict=FAIL&run=0", ["close/crossing-fins"]),
        ("&verdict=PASS&run=1", []),
        ("&differs=1", ["close/crossing-fins", "open/far"]),
        ("&state=TIME-WAIT", []),
        ("&state=ESTABLISHED&q=close/crossing", ["close/crossing-fins"]),
        ("&q=does+not+count+our+fin", ["close/crossing-fins"]),
        ("&level=MAY", []),
    ],
)
def test_filters_of_cases(page, query, cases):
    page.go(f"#/matrix?rows=cases{query}")
    assert page.texts(".matrix .what > a") == cases


def test_sections_take_their_subsections_in(page):
    page.go("#/matrix?rfc=9293&section=3.10.7")
    groups = page.texts(".matrix .group th")
    assert len(groups) > 2
    assert all(group.startswith("RFC 9293 section 3.10.7") for group in groups)


def test_a_case_has_its_requirement_finding_ladder_steps_and_evidence(page):
    page.go(case(IDS[1], "?run=0"))
    text = page.text()
    for part in (
        REQUIREMENT,
        "the ACK does not count our FIN",
        "cases/close/crossing-fins.yaml:8",
        "P1 drew ACK",
        f"conformance run 'cases/x.yaml::{IDS[1]}'",
        "RFC9293-MAY-2",
    ):
        assert part in text
    assert page.texts(".finding mark") == ["ACK", "ack=irs+102", "FIN,ACK", "ack=irs+101"]
    page.until("return document.querySelector('svg.ladder')")
    lines = page.texts(".ladder text.frame")
    assert "SYN seq=irs win=65535 <mss 1460, sackOK>" in lines
    assert "expected: ACK seq=iss+2 ack=irs+102" in lines
    assert page.texts(".ladder text.state")[-1] == "ESTABLISHEDP1 drew ACK"
    assert any(text.startswith("▶ step 5") for text in page.texts(".ladder text.step.failing"))
    assert page.texts("tr.failing code") == ["expect: ACK seq=fin.end"]


def test_what_came_stands_in_the_ladder_below_what_was_expected_with_its_fields_marked(browser, tmp_path):  # noqa: F811
    result = failing()
    result.trace[-1] = event(8, "seen", 4, seen(FIN | ACK, 2, 101))
    text = "FIN,ACK seq=iss+2 ack=irs+101 win=502"
    page_file = tmp_path / "page.html"
    line = written(tmp_path / "a.jsonl", [result]).read_text().splitlines()[1]
    shown = json.loads(line)["trace"][-1]["text"]
    result.finding = Finding(
        Place("cases/close/crossing-fins.yaml", 8, 5),
        4,
        "differs",
        (REQUIREMENT,),
        "expect: ACK",
        "ACK ack=irs+102",
        shown,
        (Difference("flags", "ACK", "FIN,ACK"), Difference("ack", "irs+102", "irs+101")),
    )
    write([written(tmp_path / "a.jsonl", [result])], page_file)
    browser.open(page_file, case(result.id))
    browser.until("return document.querySelector('svg.ladder')")
    frames = browser.texts(".ladder text.frame")
    assert frames[-2:] == ["expected: ACK ack=irs+102", f"✗ came: {shown}"]
    assert shown.startswith(text.split(" win", maxsplit=1)[0])
    assert browser.texts(".ladder .failing .differs") == ["FIN,ACK", "ack=irs+101"]
    assert browser.texts(".ladder text.expected .differs") == ["ACK", "ack=irs+102"]


def test_ladders_are_drawn_only_when_they_are_near(page):
    page.size(1200, 300)
    page.go(case(IDS[1], "?run=0&with=1"))
    page.until("return document.querySelectorAll('.ladder-place').length === 2")
    page.size(1200, 2000)
    page.until("return document.querySelectorAll('svg.ladder').length === 2")


def test_two_runs_side_by_side(page):
    page.go("#/diff?a=0&b=1")
    assert page.texts("#changed strong") == ["2"]
    assert page.texts(".changes a") == [IDS[0], "open/far[ip=v4]"]
    page.click(".changes a")
    headings = page.texts(".two h3")
    assert ["✓ PASS" in headings[0], "✗ FAIL" in headings[1]] == [True, True]
    page.size(1200, 3000)
    page.until("return document.querySelectorAll('.two svg.ladder').length === 2")


def test_the_capture_is_octet_for_octet_what_the_tester_writes(page, two):
    page.go(case(IDS[1], "?run=0"))
    page.find("button.capture").click()
    path = page.downloads / f"{IDS[1].replace('/', '_')}.pcapng"
    page.until("return true")
    for _ in range(200):
        if path.exists() and path.stat().st_size:
            break
        page.js("return new Promise((done) => setTimeout(done, 50))")
    lines = {line["id"]: line for _, line in Reading(two.with_name("a.jsonl"))}
    assert path.read_bytes() == capture(result_of(lines[IDS[1]]))
    page.go(case(IDS[0], "?run=0"))
    assert page.texts("button.capture") == []
    assert "No frames were recorded" in page.text()


def test_the_state_diagram_has_what_was_covered(page):
    page.go("#/states?run=0")
    assert len(page.texts(".diagram .node")) == 11
    established = next(text for text in page.texts(".diagram .node") if text.startswith("ESTABLISHED"))
    assert "1 PASS" in established
    page.go("#/states?run=1")
    assert page.texts(".diagram .node.fail title") == ["ESTABLISHED: 2 FAIL"]


def test_keys(page):
    body = page.find("body")
    body.send_keys("/")
    page.until("return document.querySelector('#filter-q')")
    page.js("document.activeElement.blur()")
    page.find("body").send_keys("/")
    assert page.js("return document.activeElement.id") == "filter-q"
    page.go(case(IDS[0], "?run=0"))
    assert page.js("return document.activeElement.id") == "main"
    page.find("body").send_keys("j")
    page.until(f"return document.querySelector('h2').textContent === '{IDS[1]}'")
    page.find("body").send_keys("k")
    page.until(f"return document.querySelector('h2').textContent === '{IDS[0]}'")


@pytest.mark.parametrize("width", [360, 700, 1400])
@pytest.mark.parametrize("fragment", ["", "#/matrix", case(IDS[1], "?run=0&with=1"), "#/states", "#/diff", "#/run/0"])
def test_no_page_is_wider_than_the_screen(page, two, width, fragment):
    page.open(two, fragment, width=width)
    assert page.js("return document.documentElement.scrollWidth") <= width


def test_light_and_dark_and_print_can_be_read(page, two):
    contrast = """
      const light = (text) => text.match(/[0-9.]+/g).slice(0, 3).map((one) => one / 255)
        .map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
        .reduce((sum, one, at) => sum + one * [0.2126, 0.7152, 0.0722][at], 0);
      const behind = (one) => { while (one) { const own = getComputedStyle(one).backgroundColor;
        if (!own.startsWith('rgba')) return own; one = one.parentElement; } return 'rgb(255,255,255)'; };
      return [...document.querySelectorAll('main a, main p, main td, main th, main code, main dd, main dt')]
        .filter((one) => one.textContent.trim() && !one.closest('.none, .zero')).map((one) => {
        const a = light(getComputedStyle(one).color), b = light(behind(one));
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.className, one.textContent.slice(0, 30)];
      }).filter(([ratio]) => ratio < 4.5)"""
    for scheme in ("light", "dark"):
        page.media(prefers_color_scheme=scheme)
        for fragment in ("", "#/matrix?rfc=5961", case(IDS[1], "?run=0")):
            page.open(two, fragment)
            assert page.js(contrast) == [], scheme
    page.media(prefers_color_scheme="light")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert page.js("return getComputedStyle(document.querySelector('#nav')).display") == "none"
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize(
    "fragment", ["#/nothing", "#/case/nothing", "#/requirement/x", "#/run/99", "#/case/%E0%A4%A", "#/states?run=x"]
)
def test_a_link_to_nothing_says_so(page, two, fragment):
    page.open(two, fragment)
    assert page.texts("main h2")


# --- what a target, a case or a link may say

EVIL = (
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    "\"'><svg onload=window.hacked=1>",
    "{{ 7*7 }}{% raw %}",
    "--><!--<script>",
    "]]>\u2028\u2029\u202e\x00\x1b[31m\x7f\ud800",
    "javascript:window.hacked=1",
    "__proto__",
    "${window.hacked=1}`\\",
)
ALL = " ".join(EVIL)
WHOLE = ALL.replace("\ud800", "\ufffd")


def hostile(id_: str):
    result = failing(id_, title=ALL, reason=ALL, file=ALL, requirements=(REQUIREMENT, ALL), start=ALL)
    result.finding = Finding(
        Place(ALL, 8, 5),
        4,
        ALL,
        (REQUIREMENT, ALL),
        ALL,
        ALL,
        ALL,
        (Difference(ALL, ALL, ALL), Difference("(", "[", "*")),
    )
    result.trace += [
        event(9, "note", 4, ALL),
        event(10, "call", 4, ALL, connection=ALL),
        event(11, "seen", 4, b"\xff" * 60),
    ]
    result.states = [NamedState(3, ALL, ALL, (ALL,), ALL, ALL)]
    result.steps = (ALL,) * 5
    result.places = (Place(ALL, 4, 5),) * 5
    result.observations = dict.fromkeys(EVIL, ALL)
    result.settings = dict.fromkeys(EVIL, ALL)
    result.pairs = {ALL: (ALL, 1, ALL, 2), "main": (ALL, 1, ALL, 2)}
    return result


@pytest.fixture(scope="module", params=["with its policy", "without"])
def attacked(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    ids = [f"{text}[{text}]" for text in EVIL] + ["a/" + ALL]
    target = {"name": ALL, "kernel": ALL, **dict.fromkeys(EVIL, ALL), "deep": {ALL: [{ALL: ALL}]}}
    reports = [written(folder / f"{name}.jsonl", map(hostile, ids), target) for name in ("a", "b")]
    write(reports, folder / "report.html", title=ALL)
    text = (folder / "report.html").read_text()
    if request.param == "without":
        # Even a browser that knows no policy has nothing to run.
        assert text.count("Content-Security-Policy") == 1
        (folder / "report.html").write_text(text.replace("Content-Security-Policy", "x-nothing"))
    return folder / "report.html"


def test_nothing_that_a_target_or_a_case_says_is_run(browser, attacked):  # noqa: F811
    ids = [f"{text}[{text}]" for text in EVIL] + ["a/" + ALL]
    browser.open(attacked)
    views = [
        "",
        "#/matrix",
        "#/matrix?rows=cases",
        "#/states",
        "#/diff?a=0&b=1",
        "#/run/0",
        f"#/requirement/{quote(WHOLE, safe='')}",
        f"#/{ALL}",
        f"#/matrix?q={ALL}&rfc={ALL}&run={ALL}",
        f"#/case/{ALL}",
    ]
    views += [case(id_.replace("\ud800", "\ufffd"), "?run=0&with=1") for id_ in ids]
    shown = 0
    for view in views:
        browser.open(attacked, height=4000)
        if view:
            browser.go(view.replace("\ud800", "\ufffd"))
        browser.js("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        browser.js("return new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
        assert browser.js("return window.hacked") is None, view
        assert (
            browser.js("return document.querySelectorAll('main script, main img, main [onload], main iframe').length")
            == 0
        )
        assert browser.js("return document.querySelectorAll('a:not([href^=\"#\"])').length") == 0
        assert browser.errors() == [], view
        assert "There is no such" not in browser.js("return document.querySelector('h2').textContent") or ALL in view, (
            view
        )
        shown += browser.js("return document.body.textContent.includes('<img src=x onerror=window.hacked=1>')")
    assert shown > len(EVIL)


def test_the_browser_would_have_run_it(browser, attacked):  # noqa: F811
    """A control: markup in the page does run where there is no policy, so that silence above means something."""
    browser.open(attacked)
    browser.js("document.querySelector('main').innerHTML = arguments[0]", EVIL[1])
    browser.js("return new Promise((done) => setTimeout(done, 300))")
    guarded = "Content-Security-Policy" in attacked.read_text()
    assert browser.js("return window.hacked") == (None if guarded else 1)
    browser.errors()


def test_the_page_asks_for_nothing_outside_itself(page, two):
    page.go(case(IDS[1], "?run=0"))
    asked = page.js("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert [name for name in asked if not name.startswith(("data:", "blob:"))] == []
    assert LINUX["name"] in page.js("return document.querySelector('h1').textContent")
