"""A headless browser for the report's page, and reports to show in it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from conformance.engine.result import Result
from conformance.report.jsonl import Header, Writer

LINUX = {"name": "linux", "kernel": "Linux 6.18.44 #1 SMP x86_64", "addresses": ["192.0.2.1"]}
OTHER = {"name": "lwip:full", "kernel": "lwIP 2.1.3", "addresses": ["192.0.2.1"]}


def written(
    path: Path, results: Iterable[Result], target: dict[str, object] | None = None, how: str = "complete"
) -> Path:
    """A report of these results."""
    header = Header(command=("conformance", "run"), case_set="sha256:0", target=target or LINUX)
    writer = Writer(path, header)
    for result in results:
        writer.write(result, "expected", f"conformance run 'cases/x.yaml::{result.id}'")
    writer.close(how)  # type: ignore[arg-type]
    return path


def dated(path: Path, results: Iterable[Result], started: str, **rest: object) -> None:
    """A report of these results that says it was started then."""
    lines = written(path, results, **rest).read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(lines[0]) | {"started": started}), *lines[1:]]) + "\n")


_WHOLE = "!document.querySelector('[data-more]')"
"""True when all rows of a matrix are there."""


class Browser:
    """Opens pages of a file and looks at them."""

    def __init__(self, driver, downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads

    def open(self, page: Path, fragment: str = "", width: int = 1200, height: int = 900) -> None:
        self.size(width, height)
        self.driver.get("about:blank")
        self.driver.get_log("browser")
        self.driver.get(f"file://{page}{fragment}")
        self.until(f"return document.documentElement.dataset.shown && {_WHOLE}")

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def media(self, **features: str) -> None:
        found = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": found})

    def js(self, script: str, *arguments: object):
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str, seconds: float = 20.0):
        """The first true value of a script. Fails when there is none in that time."""
        end = time.monotonic() + seconds
        while True:
            value = self.js(script)
            if value or time.monotonic() > end:
                assert value, f"never true: {script}"
                return value
            time.sleep(0.02)

    def go(self, fragment: str) -> None:
        """Follow a fragment, and wait until its view is there."""
        before = self.js("return document.documentElement.dataset.shown")
        self.js("location.hash = arguments[0]", fragment)
        self.until(f"return document.documentElement.dataset.shown !== '{before}' && {_WHOLE}")

    def click(self, selector: str) -> None:
        """Click on what leads to another view, and wait until it is there."""
        before = self.js("return document.documentElement.dataset.shown")
        self.find(selector).click()
        self.until(f"return document.documentElement.dataset.shown !== '{before}' && {_WHOLE}")

    def find(self, selector: str):
        return self.driver.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        return self.js("return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)", selector)

    def text(self) -> str:
        return self.js("return document.querySelector('main').innerText")

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "DEBUG"]


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Browser]:
    binary = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    control = shutil.which("chromedriver")
    if binary is None or control is None:
        pytest.skip("no browser here: apt-get install -y --no-install-recommends chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed: pip install '.[test]'")
    from selenium.webdriver.chrome.service import Service

    downloads = tmp_path_factory.mktemp("downloads")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(control))
    behaviour = {"behavior": "allow", "downloadPath": str(downloads)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    try:
        yield Browser(driver, downloads)
    finally:
        driver.quit()
