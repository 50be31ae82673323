"""The page of a trend in a real browser: chart, table, what became worse; and that nothing a target says is run."""

from __future__ import annotations

import pytest
from browsing import OTHER, browser, dated  # noqa: F401 - a fixture
from click.testing import CliRunner
from report_samples import REQUIREMENT, failing, passing

from conformance.cli import main

EVIL = "</style></title><script>window.hacked=1</script>\"'><svg onload=window.hacked=1>{{ 7*7 }}\x1b[31m"


@pytest.fixture(scope="module")
def trend(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trend")
    for month, results in enumerate(([failing("a")], [passing("a")], [failing("a"), passing("b")]), 1):
        how = "interrupted" if month == 2 else "complete"
        dated(folder / f"{month}" / "report.jsonl", results, f"2026-0{month}-01T00:00:00.000000000Z", how=how)
    dated(folder / "x.jsonl", [passing("a")], "2026-02-01T00:00:00.000000000Z", target=OTHER)
    dated(folder / "y.jsonl", [passing(EVIL)], EVIL, target={"name": EVIL, "kernel": EVIL})
    made = CliRunner().invoke(main, ["trend", str(folder), "-o", str(folder / "trend.html")])
    assert made.exit_code == 0, made.output
    assert made.output.endswith("trend.html\n")
    return folder / "trend.html"


@pytest.fixture
def page(browser, trend):  # noqa: F811
    browser.size(1200, 900)
    browser.driver.get(f"file://{trend}")
    yield browser
    assert browser.errors() == []
    assert browser.js("return window.hacked") is None


def test_each_stack_has_its_runs_the_newest_first_and_what_changed(page):
    assert len(page.texts("section")) == 3
    names = page.texts("section h2")
    linux = names.index("linux")
    rows = page.js(
        "return [...document.querySelectorAll('section')[arguments[0]].querySelectorAll('tbody tr')]"
        ".map((row) => row.innerText)",
        linux,
    )
    assert [row[:7] for row in rows] == ["2026-03", "2026-02", "2026-01"]
    assert "✗ 1 worse" in rows[0]
    assert REQUIREMENT in rows[0]
    assert "RFC 9293 section 3.10.7.4" in rows[0]
    assert "not all of it was run" in rows[1]
    assert "✓ 1 better" in rows[1]
    assert "worse" not in rows[2]
    assert "lwip:full" in names


def test_the_chart_has_a_point_for_each_run_and_one_run_has_none(page):
    assert len(page.texts("svg.trend")) == 1
    assert page.texts("svg.trend .fail title") == [
        f"{count} failed: 2026-0{month}-01 00:00:00" for month, count in ((1, 1), (2, 0), (3, 1))
    ]
    heights = page.js(
        "return [...document.querySelectorAll('svg.trend .fail text')].map((one) => Number(one.getAttribute('y')))"
    )
    assert heights[0] == heights[2] < heights[1]


def test_what_a_target_says_is_text(page):
    assert "<script>window.hacked=1</script>" in page.js("return document.querySelector('main').innerText")
    assert page.js("return document.querySelectorAll('script, main [onload]').length") == 0


@pytest.mark.parametrize("width", [360, 1400])
def test_it_is_not_wider_than_the_screen_and_asks_for_nothing(page, width):
    page.size(width, 900)
    assert page.js("return document.documentElement.scrollWidth") <= width
    assert (
        page.js("return performance.getEntriesByType('resource').filter((one) => !one.name.startsWith('data:')).length")
        == 0
    )
