"""The page of a run in a real browser, opened from disk: on a phone, on a desk, in print."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from page_runs import SHAPES, at, says, searched_run, small_run

from bitwright.cli.page import write_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"no browser on the PATH: {', '.join(BROWSERS)}")

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--v=0",
)
SECONDS = 120
LAYERS = 11
SEARCH_CHARTS = 1 + 2 + 3
"""The front, the sensitivity of two layers, the ranges of three tensors; a training has two curves instead."""

POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
MEASURE = """<script>
addEventListener("load", () => {
const box = (element) => element.getBoundingClientRect();
const measured = {
  width: window.innerWidth,
  page: document.documentElement.scrollWidth,
  pictures: [...document.querySelectorAll("svg, img, canvas")].map((e) => [box(e).width, box(e).height]),
  words: [...document.querySelectorAll("svg text")].map((e) => [box(e).width, box(e).left, box(e).right]),
  figures: [...document.querySelectorAll("[data-figure]")].map((e) => [e.dataset.figure, e.textContent]),
  json: JSON.parse(document.getElementById("figures").textContent),
  requests: performance.getEntriesByType("resource").map((e) => e.name),
};
parent.postMessage(JSON.stringify(measured), "*");
});
</script>"""
FRAME = """<!DOCTYPE html><body><script>
onmessage = (event) => document.body.setAttribute("data-json", event.data);
</script><iframe src="{uri}" style="border: 0; width: {width}px; height: 900px"></iframe></body>
"""
"""The browser's own window is never narrower than 500 px; a frame is."""


@dataclass(frozen=True)
class Browser:
    """The browser, and a page that it opens."""

    folder: Path
    page: Path

    def open(self, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """Open a page from disk."""
        profile = f"--user-data-dir={self.folder / 'profile'}"
        command = [str(BROWSER), *OPTIONS, profile, *options, page.as_uri()]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended

    def changed(self, old: str, new: str) -> Path:
        """Return a copy of the page with other text, that may run scripts."""
        text = POLICY.sub("", self.page.read_text())
        assert old in text
        path = self.folder / "copy.html"
        path.write_text(text.replace(old, new))
        return path

    def measured(self, page: Path, width: int) -> dict[str, Any]:
        """Return what a page with `MEASURE` in it found."""
        frame = self.folder / "frame.html"
        frame.write_text(FRAME.format(uri=page.as_uri(), width=width))
        dom = self.open(frame, "--window-size=1400,1000", "--virtual-time-budget=5000", "--dump-dom").stdout
        found = re.search(r'<body data-json="([^"]*)">', dom)
        assert found is not None
        content: dict[str, Any] = json.loads(unescape(found[1]))
        return content


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """A browser, and the page of a small run."""
    folder = tmp_path_factory.mktemp("browser")
    run = small_run(folder / "small")
    facts = {"stage": "synthesis (yosys)", "tool": "Yosys 0.70", "cells": {"lut6": 1234567}, "longest_path_ps": 8123}
    (run.path / "synth" / "xc7").mkdir(parents=True)
    (run.path / "synth" / "xc7" / "yosys.json").write_text(json.dumps(facts))
    return Browser(folder, write_page(run))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """A browser, and the page of a search's winner."""
    folder = tmp_path_factory.mktemp("searched")
    return Browser(folder, write_page(searched_run(folder / "small")))


def console(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """What the page, or the browser about it, wrote to the console."""
    return [line for line in ended.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("width", [360, 1280])
def test_page_is_whole_at_every_width(width: int, browser: Browser) -> None:
    found = browser.measured(browser.changed("</body>", f"{MEASURE}</body>"), width)
    assert found["width"] == width
    assert found["page"] <= width
    _check(found, width)


@pytest.mark.parametrize("width", [360, 1280])
def test_page_of_a_search_is_whole_at_every_width(width: int, searched: Browser) -> None:
    found = searched.measured(searched.changed("</body>", f"{MEASURE}</body>"), width)
    assert found["width"] == width
    assert found["page"] <= width
    _check(found, width, SEARCH_CHARTS)


def test_page_of_a_search_is_whole_on_paper(searched: Browser) -> None:
    text = searched.changed("</body>", f"{MEASURE}</body>").read_text()
    path = searched.folder / "paper.html"
    path.write_text(text.replace("@media print", "@media all"))
    found = searched.measured(path, 718)  # A4 without its margins
    assert found["page"] <= 718
    _check(found, 718, SEARCH_CHARTS)


def test_page_is_whole_on_paper(browser: Browser) -> None:
    text = browser.changed("</body>", f"{MEASURE}</body>").read_text()
    path = browser.folder / "paper.html"
    path.write_text(text.replace("@media print", "@media all"))
    found = browser.measured(path, 718)  # A4 without its margins
    assert found["page"] <= 718
    _check(found, 718)


def _check(found: dict[str, Any], width: int, charts: int = 2) -> None:
    assert len(found["pictures"]) == charts + 1 + LAYERS + len(SHAPES)
    assert min(min(sizes) for sizes in found["pictures"]) >= 10
    assert len(found["words"]) > 50
    assert all(size > 0 and left >= 0 and right <= width for size, left, right in found["words"])
    assert found["requests"] == []
    assert len(found["figures"]) > 200
    assert [(path, text) for path, text in found["figures"] if not says(text, at(found["json"], path))] == []


@pytest.mark.parametrize("width", [360, 1280])
def test_console_stays_empty(width: int, browser: Browser) -> None:
    picture = browser.folder / f"{width}.png"
    ended = browser.open(browser.page, f"--window-size={width},2000", f"--screenshot={picture}")
    assert console(ended) == []
    assert picture.stat().st_size > 20_000


@pytest.mark.parametrize("width", [360, 1280])
def test_console_stays_empty_with_a_search(width: int, searched: Browser) -> None:
    picture = searched.folder / f"{width}.png"
    ended = searched.open(searched.page, f"--window-size={width},2000", f"--screenshot={picture}")
    assert console(ended) == []
    assert picture.stat().st_size > 20_000


def test_page_of_a_search_prints_to_a_few_sheets(searched: Browser) -> None:
    paper = searched.folder / "page.pdf"
    assert console(searched.open(searched.page, f"--print-to-pdf={paper}", "--no-pdf-header-footer")) == []
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes())) <= 9


def test_page_prints_to_a_few_sheets(browser: Browser) -> None:
    paper = browser.folder / "page.pdf"
    ended = browser.open(browser.page, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    assert console(ended) == []
    content = paper.read_bytes()
    assert content.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 8


def test_a_fault_would_be_seen(browser: Browser) -> None:
    faults = '<script>undefined.fault</script><img src="https://example.invalid/a.png">'
    path = browser.folder / "faulty.html"
    path.write_text(browser.page.read_text().replace("</main>", f"{faults}</main>"))
    refused = console(browser.open(path, "--dump-dom"))
    assert len([line for line in refused if "Content Security Policy" in line]) == 2
    allowed = browser.changed("</main>", f'{faults}<p style="width: 2000px">wide</p></main>')
    assert any("TypeError" in line for line in console(browser.open(allowed, "--dump-dom")))
    wide = browser.changed("</body>", f'{faults}<p style="width: 2000px">wide</p>{MEASURE}</body>')
    found = browser.measured(wide, 360)
    assert found["page"] > 360
    assert found["requests"] == ["https://example.invalid/a.png"]
