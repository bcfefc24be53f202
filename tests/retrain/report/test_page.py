"""The page: complete in itself, safe whatever the names, the same each time, and of bounded size."""

import dataclasses
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_report import HOSTILE, full_data, pictures_of, report_of

from legoclf.retrain.report import ReportData, write_report
from legoclf.retrain.report.answers import MAX_MISTAKES
from legoclf.retrain.report.matrix import MOST_CLASSES

LABELS = ["brick", "plate", "tile"]


class Page(HTMLParser):
    """Every opening tag of a page with its attributes, and its words."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.source = (folder / "index.html").read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def count(self, tag: str, **attributes: str) -> int:
        return sum(name == tag and attributes.items() <= found.items() for name, found in self.tags)


def written(data: ReportData, folder: Path, title: str = "bricks") -> Page:
    write_report(folder, title, data)
    return Page(folder)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("full")
    return written(full_data(folder / "images", LABELS), folder / "report")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Page:
    folder = tmp_path_factory.mktemp("hostile")
    return written(full_data(folder / "images", HOSTILE), folder / "report", HOSTILE[0])


@pytest.fixture
def bare(tmp_path: Path) -> ReportData:
    report = report_of([0, 0, 1], [0, 1, 1], LABELS)
    return ReportData(report, pictures_of(report, tmp_path / "images"))


def test_names_cannot_become_markup(hostile: Page) -> None:
    own = {
        "html",
        "meta",
        "head",
        "title",
        "style",
        "body",
        "header",
        "main",
        "nav",
        "section",
        "script",
        "div",
    }
    own |= {
        "h1",
        "h2",
        "h3",
        "p",
        "a",
        "b",
        "i",
        "span",
        "small",
        "code",
        "pre",
        "img",
        "figure",
        "figcaption",
    }
    own |= {"dl", "dt", "dd", "ul", "li", "details", "summary"}
    own |= {"table", "thead", "tbody", "tr", "th", "td"}
    assert {tag for tag, _ in hostile.tags} <= own
    assert hostile.count("script") == 1
    assert not any(name.startswith("on") for _, found in hostile.tags for name in found)


def test_names_are_shown_as_they_are(hostile: Page) -> None:
    assert HOSTILE[0] in hostile.words


@pytest.mark.parametrize("name", ["src", "href"])
def test_nothing_is_fetched(hostile: Page, name: str) -> None:
    addresses = [found[name] or "" for _, found in hostile.tags if name in found]
    assert addresses
    assert all(re.match(r"data:image/(png|jpeg);base64,|#", address) for address in addresses)


def test_every_link_leads_to_a_part_of_the_page(full: Page) -> None:
    ids = [found["id"] for _, found in full.tags if "id" in found]
    targets = {str(found["href"])[1:] for tag, found in full.tags if tag == "a"}
    assert len(ids) == len(set(ids))
    assert targets <= set(ids)


def test_every_picture_is_described(full: Page) -> None:
    assert all(found.get("alt") for tag, found in full.tags if tag == "img")


@pytest.mark.parametrize(
    "words",
    [
        "83.3 %",  # of 18 images, 3 wrong
        "95 % interval 60.8 % to 94.2 %",  # Wilson, worked out by hand
        "Mistakes (3)",
        "best on validation with 80.0 % at epoch 1",
        "divided by the temperature 1.5",
        "the same file",
        "Without those test images that have their like in training, 88.2 % of 17",
        "19 images: 1 train, 0 validation, 18 test",
        "truncated",
        "legoclf retrain --image_dir brick",
        "numpy 1.2.3",
    ],
)
def test_it_tells(full: Page, words: str) -> None:
    assert words in full.words


def test_the_command_is_quoted_for_a_shell(bare: ReportData, tmp_path: Path) -> None:
    page = written(dataclasses.replace(bare, command=("legoclf", "--image_dir", "my 'photos'")), tmp_path)
    assert """legoclf --image_dir 'my '"'"'photos'"'"''""" in page.words


def test_a_run_that_has_little_has_a_short_page(bare: ReportData, tmp_path: Path) -> None:
    page = written(bare, tmp_path)
    headings = [found["id"] for tag, found in page.tags if tag == "section"]
    assert headings == ["classes", "matrix", "pairs", "mistakes", "calibration", "run"]


def test_the_plots_lie_beside_the_page(full: Page, bare: ReportData, tmp_path: Path) -> None:
    write_report(tmp_path / "report", "bricks", bare)
    plots = sorted(path.name for path in (tmp_path / "report").glob("*.png"))
    assert plots == ["calibration.png", "confusion_matrix.png"]


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    data = full_data(tmp_path / "images", LABELS)
    trees = []
    for name in ("one", "other"):
        write_report(tmp_path / name, "bricks", data)
        trees.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert trees[0] == trees[1]


def test_a_picture_that_is_gone_leaves_its_words(bare: ReportData, tmp_path: Path) -> None:
    gone = dict.fromkeys(bare.pictures, str(tmp_path / "gone.jpg"))
    page = written(dataclasses.replace(bare, pictures=gone), tmp_path)
    assert "named plate" in page.words
    assert page.count("img") == 1  # the plot


def test_each_mistake_has_the_probabilities_of_both_names(bare: ReportData, tmp_path: Path) -> None:
    page = written(bare, tmp_path)
    # exp(3) and exp(0) over their sum with the third class.
    assert re.search(r"named plate\s*91 %\s*is brick\s*5 %", page.words)


def test_a_cell_of_the_matrix_leads_to_its_images(full: Page) -> None:
    assert full.count("a", href="#c0-1") == 1
    panel = full.source.split("id=c0-1>")[1].split("class=cell")[0]
    assert "brick, named plate: 1 image" in panel
    assert "brick/0.jpg" in panel


def test_many_mistakes_show_the_ones_that_were_surest(tmp_path: Path) -> None:
    number = MAX_MISTAKES + 5
    report = report_of([0] * number, [1] * number, LABELS)
    page = written(ReportData(report, pictures_of(report, tmp_path / "images")), tmp_path)
    part = page.source.split("<section id=mistakes>")[1].split("</section>")[0]
    assert part.count("<figure>") == MAX_MISTAKES


@pytest.fixture
def large(tmp_path: Path) -> Callable[[int, int], ReportData]:
    """A test set of many classes and images, one in five of them named wrong; one noisy picture for all."""

    def make(classes: int, images: int) -> ReportData:
        random = np.random.default_rng(0)
        photo = tmp_path / "photo.jpg"
        Image.fromarray(random.integers(0, 255, (240, 320, 3), dtype=np.uint8)).save(photo)
        truth = random.integers(0, classes, images)
        answers = np.where(random.random(images) < 0.2, random.integers(0, classes, images), truth)
        report = report_of(truth.tolist(), answers.tolist(), [f"class {n}" for n in range(classes)])
        return ReportData(report, dict.fromkeys(report.paths, str(photo)))

    return make


def test_a_large_test_set_gives_a_page_of_bounded_size(
    large: Callable[[int, int], ReportData], tmp_path: Path
) -> None:
    data = large(100, 10_000)
    page = written(data, tmp_path / "report")
    assert len(page.source.encode()) < 6_000_000


def test_of_very_many_classes_the_most_confused_have_rows(
    large: Callable[[int, int], ReportData], tmp_path: Path
) -> None:
    page = written(large(MOST_CLASSES + 5, 400), tmp_path / "report")
    assert page.source.split("<table class=matrix>")[1].split("</table>")[0].count("<tr>") == MOST_CLASSES + 1
