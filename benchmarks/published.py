"""Figures that others have published, each with its source: they have no raw samples, so they stand apart.

``published_results.json`` beside this module is a list of them. Nothing here is a
:class:`legoclf.benchmarks.device.result.Result`, and no table or test mixes the two.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from legoclf.benchmarks.text import cell
from legoclf.errors import LegoclfError

PUBLISHED = Path(__file__).with_name("published_results.json")

#: What must be told of a figure.
_NEEDED = ("device", "model", "backend", "source")


@dataclass(frozen=True)
class Published:
    """One figure of somebody else's: a latency or a throughput. None: the source does not tell."""

    device: str
    model: str
    backend: str
    source: str
    precision: str | None = None
    latency_ms: float | None = None
    throughput_img_s: float | None = None
    conditions: str | None = None

    @property
    def name(self) -> str:
        """What ran where, in short."""
        precision = "" if self.precision is None else f" {self.precision}"
        return f"{self.device}, {self.backend}{precision}"


def load_published(path: Path = PUBLISHED) -> list[Published]:
    """Read the figures.

    Raises:
        LegoclfError: one lacks its source or its figure.
    """
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LegoclfError(f"{path}: not a list of published figures: {error}") from error
    if not isinstance(records, list):
        raise LegoclfError(f"{path}: not a list of published figures")
    return [_published(record, path, place) for place, record in enumerate(records, 1)]


def as_markdown(figures: Sequence[Published]) -> str:
    """A table of their own."""
    lines = [
        "# published by others",
        "",
        "Read, not measured: no raw samples, and conditions as far as their sources tell them.",
        "",
        "| device | model | backend | precision | ms | images/s | conditions | source |",
        "|---|---|---|---|---:|---:|---|---|",
    ]
    for each in figures:
        shown = [
            *(cell(text or "not told") for text in (each.device, each.model, each.backend, each.precision)),
            *("" if figure is None else f"{figure:g}" for figure in (each.latency_ms, each.throughput_img_s)),
            cell(each.conditions or "not told"),
            cell(each.source),
        ]
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def _published(record: Any, path: Path, place: int) -> Published:
    if not isinstance(record, dict):
        raise LegoclfError(f"{path}: figure {place} is no object")
    unknown = sorted(set(record) - {field.name for field in fields(Published)})
    if unknown:
        raise LegoclfError(f"{path}: figure {place} has unknown fields: {', '.join(unknown)}")
    missing = [name for name in _NEEDED if not isinstance(record.get(name), str) or not record[name].strip()]
    if missing:
        raise LegoclfError(f"{path}: figure {place} does not tell: {', '.join(missing)}")
    figures = [record.get("latency_ms"), record.get("throughput_img_s")]
    told = [figure for figure in figures if figure is not None]
    if not told or not all(_is_figure(figure) for figure in told):
        raise LegoclfError(
            f"{path}: figure {place}: expected latency_ms or throughput_img_s, each more than 0"
        )
    return Published(**record)


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
