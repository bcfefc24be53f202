"""The page in a real browser, from its file: on a phone and on a wide screen."""

from collections.abc import Iterator

import pytest
from browser import DESKTOP, PHONE, Browser, require_browser
from small_report import HOSTILE, full_data

from legoclf.retrain.report import write_report

LABELS = ["brick", "plate", "tile", *HOSTILE]

NOT_SHOWN = "return [...document.images].filter(image => !image.naturalWidth).length"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    require_browser()
    folder = tmp_path_factory.mktemp("page")
    write_report(folder / "report", HOSTILE[0], full_data(folder / "images", LABELS))
    return (folder / "report" / "index.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.mark.parametrize("screen", [PHONE, DESKTOP])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_whole_without_asking_for_anything(
    browser: Browser, url: str, screen: tuple[int, int, bool], scheme: str
) -> None:
    browser.set_scheme(scheme)
    browser.open(url, screen)
    assert browser.overflow_px() <= 0
    assert browser.run("return document.images.length") > 20
    assert browser.run(NOT_SHOWN) == 0
    assert browser.console() == []
    assert [asked for asked in browser.asked if not asked.startswith(("file:", "data:"))] == []


def test_every_cell_opens_its_images_and_closes(browser: Browser, url: str) -> None:
    browser.open(url, PHONE)
    cells = browser.elements(".matrix td a")
    assert len(cells) == 2 * len(LABELS)
    for cell in cells:
        browser.run("arguments[0].click()", cell)
        opened = browser.elements(".cell:target")
        assert [panel.is_displayed() for panel in opened] == [True]
        assert browser.run("return arguments[0].querySelectorAll('img').length", opened[0]) > 0
        browser.element(".cell:target .close").click()
        assert browser.elements(".cell:target") == []


def test_every_entry_of_the_contents_leads_somewhere(browser: Browser, url: str) -> None:
    browser.open(url, DESKTOP)
    for link in browser.elements("nav a"):
        browser.run("arguments[0].click()", link)
        assert browser.run("return document.querySelector(':target')?.tagName") == "SECTION"


def test_a_column_sorts_down_and_up(browser: Browser, url: str) -> None:
    browser.open(url, DESKTOP)
    column = "return [...document.querySelectorAll('#classes tbody tr')].map(row => +row.cells[4].dataset.v)"
    button = browser.elements("#classes thead button")[4]
    button.click()
    down = browser.run(column)
    button.click()
    assert (down, browser.run(column)) == (sorted(down, reverse=True), sorted(down))


def test_text_has_contrast_in_both_schemes(browser: Browser, url: str) -> None:
    """4.5 to 1 (WCAG 2.2, 1.4.3) for the colours that words have."""
    script = """
      const light = colour => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(v => v / 255)
          .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const paper = light(getComputedStyle(document.querySelector('.pair')).backgroundColor);
      return ['.note', '.path', '.named', '.odds', 'nav a'].map(selector => {
        const ink = light(getComputedStyle(document.querySelector(selector)).color);
        return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05); });"""
    for scheme in ("light", "dark"):
        browser.set_scheme(scheme)
        browser.open(url, DESKTOP)
        assert min(browser.run(script)) >= 4.5
