"""The reference results: a file for each device and benchmark, and the boards that none was taken on."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from legoclf.benchmarks.device.boards import load_boards
from legoclf.benchmarks.device.emit import as_markdown as result_as_markdown
from legoclf.benchmarks.device.result import Result, load
from legoclf.benchmarks.report_data import board_key
from legoclf.benchmarks.text import cell, fit_for_markdown
from legoclf.errors import LegoclfError

RESULTS = Path(__file__).with_name("results")

NO_HARDWARE = "no hardware was at hand"


@dataclass(frozen=True)
class Gallery:
    """results: by device, in the order of their names. without: names of the boards that none is of."""

    results: dict[str, list[Result]]
    without: list[str]


def load_folder(folder: Path) -> list[Result]:
    """Read every result file of a folder, in the order of their names.

    Raises:
        LegoclfError: one of them is damaged or lacks its raw samples, or the folder is not there.
    """
    if not folder.is_dir():
        raise LegoclfError(f"{folder}: no such folder of results")
    return [load(str(path)) for path in sorted(folder.glob("*.json"))]


def load_gallery(folder: Path = RESULTS) -> Gallery:
    """The reference results that come with legoclf, by device; errors as of :func:`load_folder`."""
    return group(load_folder(folder))


def group(results: Iterable[Result]) -> Gallery:
    """Results by device, and the boards of boards.json that none of them was taken on."""
    grouped: dict[str, list[Result]] = {}
    for result in results:
        grouped.setdefault(str(result.header["device"]), []).append(result)
    for found in grouped.values():
        found.sort(key=lambda result: (result.kind, str(result.header["date"])))
    measured = {board_key(result.header) for found in grouped.values() for result in found}
    without = [board.name for key, board in load_boards().items() if key not in measured]
    return Gallery(dict(sorted(grouped.items())), without)


def as_markdown(gallery: Gallery) -> str:
    """The tables of every result by device, and the boards without."""
    parts = []
    for device, results in gallery.results.items():
        parts.append(f"# {cell(device)}\n")
        parts += [result_as_markdown(fit_for_markdown(result)).replace("# ", "## ", 1) for result in results]
    if gallery.without:
        lines = [f"- {cell(board)}: {NO_HARDWARE}" for board in gallery.without]
        parts.append("\n".join(["# not measured", "", *lines]) + "\n")
    return "\n".join(parts)
