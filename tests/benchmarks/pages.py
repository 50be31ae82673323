"""Size and opening time of the report's page, and how long report, diff and merge take over large runs.

`python tests/benchmarks/pages.py REPORT` copies the results of a real report into as many as are asked for: ten runs of
two thousand variations for the page, two runs of a hundred thousand results for the commands. Prints JSON.
Opening is timed in a headless browser where there is one, from the request to the view being there.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def copies(source: Path, target: Path, results: int, name: str, altered: int = 0) -> Path:
    """A report of so many results, made of a real one; of every `altered`th the verdict is another."""
    lines = source.read_bytes().splitlines()
    header = json.loads(lines[0])
    header["target"]["name"] = name
    taken = [line for line in lines if line.startswith(b'{"type":"result"')]
    counts: dict[str, int] = {}
    with target.open("wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        for number in range(results):
            again, which = divmod(number, len(taken))
            line = taken[which]
            if again:
                line = line.replace(b'","file"', b',copy=%d]","file"' % again, 1).replace(b"],copy", b",copy", 1)
            if altered and number % altered == 0:
                line = line.replace(b'"verdict":"PASS"', b'"verdict":"DEVIATION"', 1)
            verdict = line.partition(b'"verdict":"')[2].partition(b'"')[0].decode()
            counts[verdict] = counts.get(verdict, 0) + 1
            file.write(line + b"\n")
        footer = json.loads(lines[-1]) | {"counts": counts, "not_run": []}
        file.write(json.dumps(footer).encode() + b"\n")
    return target


def timed(*arguments: str | Path) -> dict[str, float]:
    """Seconds of a command, and the most memory that a command has taken so far in MiB."""
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "conformance", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode > 1:
        raise SystemExit(done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "seconds": round(time.monotonic() - begun, 2),
        "cpu_seconds": round(worked, 2),  # what it takes on a machine that does nothing else
        "peak_mib": round(after.ru_maxrss / 1024),
        "exit": done.returncode,
    }


def opening(page: Path) -> dict[str, float] | str:
    """Seconds until each view is there, in a headless browser."""
    browser, control = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or control is None:
        return "no browser here"
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(control))
    found = {}
    try:
        for name, fragment in (
            ("summary", ""),
            ("matrix", "#/matrix"),
            ("cases", "#/matrix?rows=cases"),
            ("failures", "#/matrix?rows=cases&verdict=FAIL"),
            ("case", "#/case/close%2Ftime-wait-ends%5Bip%3Dv4%5D?run=0"),
            ("compare", "#/diff?a=0&b=1"),
        ):
            driver.get("about:blank")
            driver.get(f"file://{page}{fragment}")
            while not driver.execute_script("return document.documentElement.dataset.shown"):
                time.sleep(0.01)
            # Times count from the moment that the page was asked for.
            shown = "return performance.getEntriesByName('shown')[0].startTime"
            found[name] = round(driver.execute_script(shown) / 1000, 2)
            while driver.execute_script("return Boolean(document.querySelector('[data-more]'))"):
                time.sleep(0.01)
            drawn = (
                "return new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"
            )
            found[f"{name}, to the last row"] = round(driver.execute_script(drawn) / 1000, 2)
    finally:
        driver.quit()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--variations", type=int, default=2000)
    parser.add_argument("--results", type=int, default=100_000)
    parser.add_argument("--only-page", action="store_true")
    asked = parser.parse_args()
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        runs = [
            copies(asked.report, folder / f"{number}.jsonl", asked.variations, f"stack:{number}", altered=5 + number)
            for number in range(asked.runs)
        ]
        page = folder / "report.html"
        made = timed("report", *runs, "-o", page)
        figures["page"] = {
            "runs": asked.runs,
            "variations": asked.variations,
            **made,
            "mib": round(page.stat().st_size / 2**20, 2),
            "opening_seconds": opening(page),
        }
        for run in runs:
            run.unlink()
        if not asked.only_page:
            pair = [
                copies(asked.report, folder / f"{number}.jsonl", asked.results, "stack:a", altered=every)
                for number, every in enumerate((0, 1000))
            ]
            figures["results"] = asked.results
            figures["report"] = timed("report", pair[0], "-o", page) | {"mib": round(page.stat().st_size / 2**20, 2)}
            figures["diff"] = timed("diff", *pair)
            figures["merge"] = timed("merge", *pair, "-o", folder / "merged.jsonl", "--last")
    json.dump(figures, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
