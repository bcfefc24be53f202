"""The report page: complete in itself, the same each time, safe whatever the names, fit for a phone."""

import html
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from benchmark_results import inference, result, turns

from legoclf.benchmarks.device.result import Result, Series, save
from legoclf.benchmarks.gallery import group
from legoclf.benchmarks.published import Published
from legoclf.benchmarks.report_data import by_count, configurations, roofs
from legoclf.benchmarks.report_html import render, write_plots
from legoclf.cli import main

HOSTILE = [
    '<script>alert("1")</script>',
    '"><img src=x onerror=alert(1)>',
    "' onload='alert(1)",
    "--></style></svg><u>",
    "$\\frac{1}{",
    "_hidden",
    "line\nbreak\x1b[2J\x00",
    "网络 🧱",
    "x" * 500,
]

OTHERS = [Published("jetson-nano", "MobileNetV2", "TensorRT", "https://example.org/readme", "fp16", 17.65)]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Tags(HTMLParser):
    """Every opening tag of a page, with its attributes; the words between tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page(*results: Result) -> str:
    return render(group(results), OTHERS)


def hostile() -> Result:
    """A result in which everything that may be any text is one that would be more."""
    every = "".join(HOSTILE)
    made = inference(networks=HOSTILE, batches=(1,), device=every, jetpack=every, power_mode=every)
    made.header.update(versions={every: every}, clocks={every: every}, unsteady=HOSTILE)
    made.header.update(command=every, date=every, python=every, cores=every)
    made.facts["notes"] = [*HOSTILE, {every: every}]
    return made._replace(kind=every)


def other(name: str = "a series") -> Result:
    """A result of a kind that the report does not know."""
    units = ("ms", "s", "MB", "1/s", "W", "right")
    series = [Series(f"{name} in {unit}", unit, [[1.0]] if unit == "right" else turns(3)) for unit in units]
    return result(series, kind=name)


@pytest.fixture(scope="module")
def usual() -> str:
    return page(inference(), other())


@pytest.fixture(scope="module")
def strange() -> str:
    return page(hostile(), other(HOSTILE[0]))


def test_the_page_fetches_nothing(usual: str) -> None:
    for tag, attributes in Tags(usual).tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "img", "base", "image")
        assert not {"src", "srcset", "xlink:href", "data", "ping", "background"} & set(attributes)
        assert str(attributes.get("href", "#")).startswith("#")
    assert not re.search(r"@import|url\((?!#)", usual)


def test_the_same_results_give_the_same_page(usual: str) -> None:
    assert page(inference(), other()) == usual


def test_ids_are_unique_and_whatever_is_referred_to_is_there(usual: str) -> None:
    ids = re.findall(r'\bid="([^"]*)"', usual)
    assert len(set(ids)) == len(ids)
    references = set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', usual))
    assert {first or second for first, second in references} <= set(ids)


def test_words_of_plots_are_text_that_can_be_found_and_read_aloud(usual: str) -> None:
    tags = Tags(usual)
    assert "published by others, accuracy not told" in tags.text
    assert "roofline: 3 ms at best" in tags.text
    drawings = [attributes for tag, attributes in tags.tags if tag == "svg"]
    assert drawings
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in drawings)


def test_plots_take_the_colours_of_the_page(usual: str) -> None:
    drawings = "".join(re.findall(r"<svg.*?</svg>", usual, re.S))
    assert "var(--ink)" in drawings
    assert "var(--c0)" in drawings
    assert set(re.findall(r"#[0-9a-f]{6}\b", drawings)) <= {"#ffffff"}


def test_figures_come_with_their_intervals_and_ratios_before_times(usual: str) -> None:
    text = Tags(usual).text
    assert text.index("Ratios first") < text.index("time, last over first") < text.index("ms an image")
    configuration = configurations(inference())[0]
    low, high = configuration.latency.low, configuration.latency.high
    assert f"{low:.3g} to {high:.3g}" in text


def test_figures_of_others_stand_apart_with_their_source(usual: str) -> None:
    text = Tags(usual).text
    assert (
        text.index("All 18 series")
        < text.index("Published by others")
        < text.index("https://example.org/readme")
    )
    assert "jetson-nano, TensorRT fp16" in text


def test_boards_without_a_result_say_so(usual: str) -> None:
    assert "Jetson Nano: no hardware was at hand" in Tags(usual).text


def test_a_steady_run_has_no_banner(usual: str) -> None:
    assert "Not to be quoted" not in usual


def test_an_unsteady_run_is_told_before_any_figure() -> None:
    watts = [Series("a figure", "W", turns(5))]
    text = Tags(page(result(watts, unsteady=["other work took 40 % of the cores"]))).text
    told = text.index("Not to be quoted. The machine was unsteady during: inference: other work took 40 %")
    assert told < text.index("a figure")


def test_texts_of_a_stranger_stay_text(usual: str, strange: str) -> None:
    mild, tags = Tags(usual), Tags(strange)
    # The banner of an unsteady run brings the only tag and attribute that a steady run's page has not.
    assert {tag for tag, _ in tags.tags} <= {tag for tag, _ in mild.tags} | {"b"}
    names = {attribute for _, attributes in tags.tags for attribute in attributes}
    assert names <= {attribute for _, attributes in mild.tags for attribute in attributes} | {"role"}
    assert '<script>alert("1")</script>' in tags.text
    assert "$\\frac{1}{" in tags.text
    assert "\x1b" not in strange
    assert "\x00" not in strange


@pytest.mark.parametrize(
    "facts", [{"roofline": 1}, {"roofline": {"x": 1}}, {"notes": "x"}, {"configurations": [1]}]
)
def test_facts_of_any_shape_leave_the_rest_of_the_page(facts: dict[str, object]) -> None:
    made = inference(["fp32"], batches=(1,))
    assert "ms an image" in page(made._replace(facts=facts))


def test_without_accuracies_latencies_are_drawn_all_the_same() -> None:
    assert (
        "onnxruntime fp32: accuracy not measured"
        in Tags(page(inference(["onnxruntime fp32"], (1,), with_accuracy=False))).text
    )


def test_networks_of_two_devices_are_told_apart() -> None:
    text = Tags(page(inference(["fp32"], (1,)), inference(["fp32"], (1,), device="another"))).text
    assert "fp32 on a desk computer" in text
    assert "fp32 on another" in text


def test_steps_are_those_of_an_image_and_the_share_of_the_roofline_is_that_of_compute() -> None:
    first = configurations(inference())[1]
    assert first.name == "onnxruntime fp32, batch 4"
    assert first.steps == pytest.approx({"preprocess": 0.5, "compute": 4.5}, rel=0.05)
    assert first.share == pytest.approx(3.0 / 4.5, rel=0.05)


def test_a_roofline_result_of_the_same_machine_gives_the_bounds() -> None:
    bound = {"precision": "fp32", "batch": 1, "peak_gflops": 100, "bandwidth_gb_s": 10}
    bound |= {"flops": 6e8, "intensity": 60, "bound_ms": 6}
    board = {**bound, "precision": "fp16", "peak_gflops": 472}
    beside = result(
        [Series("peak", "ms", turns(3))],
        kind="roofline",
        facts={"rooflines": {"jetson-nano": board, "here": bound, "jetson-xavier-nx": None}},
    )
    names = [(f"onnxruntime fp32, batch {batch}", "onnxruntime", "fp32", batch) for batch in (1, 4)]
    records = [dict(zip(("name", "backend", "precision", "batch"), each, strict=True)) for each in names]
    made = inference(["onnxruntime fp32"])._replace(facts={"configurations": records})
    found = configurations(made, [made, beside])
    assert [None if each.bound is None else each.bound.bound_ms for each in found] == [6, None]
    assert [roof.bound.machine for roof in roofs(found, [])] == ["a desk computer"]
    assert "jetson-nano, fp16, 472 GFLOP/s: 6 ms" in Tags(page(made, beside)).text


def test_a_cost_by_number_of_images_is_drawn_as_a_line() -> None:
    series = [
        Series(f"time an image, {count} images, {kind}", "ms", turns(1 + 100 / count))
        for count in (10, 1000, 100)
        for kind in ("cold", "warm")
    ]
    lines = by_count(result(series), "ms")
    assert list(lines) == ["time an image, cold", "time an image, warm"]
    assert [(count, round(estimate.value)) for count, estimate in sorted(lines["time an image, cold"])] == [
        (10, 11),
        (100, 2),
        (1000, 1),
    ]
    assert "time an image, cold" in Tags(page(result(series, kind="scaling"))).text


def test_every_plot_is_written_as_a_file_too(tmp_path: Path) -> None:
    paths = write_plots(tmp_path / "plots", [inference(["fp32"], (1,)), other("<kind>/..")], OTHERS)
    assert len({path.name for path in paths}) == len(paths)
    assert {"latency-accuracy.png", "d0-roofline.png"} <= {path.name for path in paths}
    for path in paths:
        assert path.parent == tmp_path / "plots"
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_command_writes_page_tables_and_plots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, folder = str(tmp_path / "a.json"), tmp_path / "more"
    folder.mkdir()
    save(inference(["onnxruntime fp16"], (4,)), file)
    save(other(), str(folder / "b.json"))
    targets = {flag: tmp_path / flag for flag in ("output", "markdown", "plots")}
    flags = [word for flag, path in targets.items() for word in (f"--{flag}", str(path))]
    assert main(["benchmark", "report", file, "--results", str(folder), *flags]) == 0
    told = capsys.readouterr().out
    assert all(str(path) in told for path in targets.values())
    text = Tags(targets["output"].read_text("utf-8")).text
    assert "onnxruntime fp16, batch 4" in text
    assert "a series in MB" in text
    tables = targets["markdown"].read_text("utf-8")
    assert (
        tables.index("## a series") < tables.index("# not measured") < tables.index("# published by others")
    )


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (["--output", "/nowhere/page.html"], 2, "--output: /nowhere/page.html: expected a file"),
        (["--markdown", "/"], 2, "--markdown: /: expected a file"),
        (["--results", "EMPTY"], 1, "holds no result files"),
        (["--plots", "FILE"], 2, "expected a folder"),
        (["FILE"], 1, "not a benchmark result"),
    ],
)
def test_wrong_calls_are_told_before_anything_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    code: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FILE").write_text("{}")
    assert main(["benchmark", "report", *flags]) == code
    assert told in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_without_matplotlib_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(inference(["fp32"], (1,)), str(tmp_path / "a.json"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page_file = tmp_path / "report.html"
    assert main(["benchmark", "report", str(tmp_path / "a.json"), "--output", str(page_file)]) == 1
    assert (
        "'matplotlib' is not installed; it comes with: pip install 'legoclf[bench]'"
        in capsys.readouterr().err
    )
    assert not page_file.exists()


#: Of each frame: how wide its content is, where its drawings end, how many of them are shown, and are there.
PROBE = """onload = () => {
  document.body.textContent = [...document.querySelectorAll("iframe")].map(frame => {
    const page = frame.contentDocument;
    const all = [...page.querySelectorAll("svg")].map(drawing => drawing.getBoundingClientRect());
    const shown = all.filter(box => box.width > 0), right = Math.max(...shown.map(box => box.right));
    return [page.documentElement.scrollWidth, Math.ceil(right), shown.length, all.length].join(" ");
  }).join(";") + ".";
}"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH: apt-get install chromium")
def test_no_window_from_a_phone_up_scrolls_sideways(tmp_path: Path, strange: str) -> None:
    widths = (360, 641, 1280)
    content = html.escape(strange)
    frames = "".join(
        f'<iframe style="width:{width}px;border:0" srcdoc="{content}"></iframe>' for width in widths
    )
    target = tmp_path / "probe.html"
    target.write_text(f"<!doctype html><meta charset=utf-8><body><script>{PROBE}</script>{frames}", "utf-8")
    words = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000"]
    words += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", target.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    found = re.search(r"<body>([\d ;]+)\.</body>", done.stdout)
    assert found, done.stdout[-300:] + done.stderr[-300:]
    for width, frame in zip(widths, found[1].split(";"), strict=True):
        scroll, right, shown, drawings = map(int, frame.split())
        assert max(scroll, right) <= width
        assert 2 * shown == drawings
