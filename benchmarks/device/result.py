"""A benchmark's result: its conditions and its raw samples. Every figure is worked out from these.

    {"format": "legoclf-benchmark", "format_version": 1, "kind": "inference",
     "header": {"device": "…", "jetpack": null, "date": "…", "command": "…", "unsteady": [], …},
     "series": [{"name": "…", "unit": "ms", "turns": [[1.2, 1.3], [1.2, 1.4]]}],
     "ratios": [{"name": "…", "numerator": "name of a series", "denominator": "…", "better": "higher"}],
     "facts": {…}}

A file without the samples, or without the conditions that they were taken under, is refused: a median that
nobody can look behind settles nothing. Python 3.6.
"""

import json
import os
import tempfile
from typing import Any, Dict, List, NamedTuple

from legoclf.benchmarks.device.samples import Estimate, Summary, Turns, paired_ratio, share, summarise
from legoclf.errors import LegoclfError

FORMAT = "legoclf-benchmark"
FORMAT_VERSION = 1

#: Units of a series, and which way is better. ``right`` is 1 or 0 for each image named right or not.
UNITS = {
    "ms": "lower",
    "s": "lower",
    "MB": "lower",
    "mJ": "lower",
    "W": "lower",
    "1/s": "higher",
    "GFLOP/s": "higher",
    "GB/s": "higher",
    "right": "higher",
}

_NONE = type(None)

#: What the header of a result must tell, and of which types.
HEADER: Dict[str, Any] = {
    "device": str,
    "jetpack": (str, _NONE),
    "cores": int,
    "python": str,
    "versions": dict,
    "clocks": dict,
    "power_mode": (str, _NONE),
    "date": str,
    "command": str,
    "unsteady": list,
}

#: No sample is so large, in any unit.
_LARGEST = 1e15

#: Digits that are kept of a sample: a thousandth of a percent.
_DIGITS = 5


class Series(NamedTuple):
    """Samples of one quantity: ``turns`` of at least one sample each; ``unit`` is one of UNITS."""

    name: str
    unit: str
    turns: Turns

    @property
    def summary(self) -> Summary:
        """Percentiles, and the interval of the median."""
        return summarise(self.turns)

    @property
    def share(self) -> Estimate:
        """Of a series of unit ``right``: the share of ones."""
        every = [value for turn in self.turns for value in turn]
        return share(int(sum(every)), len(every))


class Ratio(NamedTuple):
    """Two series of the same turns; ``better`` is "higher" or "lower"."""

    name: str
    numerator: str
    denominator: str
    better: str = "higher"


class Measured(NamedTuple):
    """What a benchmark measured: the last three fields of a :class:`Result`."""

    series: List[Series]
    ratios: List[Ratio]
    facts: Dict[str, Any]


class Result(NamedTuple):
    """One benchmark of one run.

    kind: such as "inference". header: the conditions, the keys of HEADER and more.
    facts: what else was found, by name, as JSON has it; no timings, they are series.
    """

    kind: str
    header: Dict[str, Any]
    series: List[Series]
    ratios: List[Ratio]
    facts: Dict[str, Any]

    def find(self, name: str) -> Series:
        """The series of that name.

        Raises:
            KeyError: there is none.
        """
        for series in self.series:
            if series.name == name:
                return series
        raise KeyError(name)

    def ratio(self, ratio: Ratio) -> Estimate:
        """A ratio, turn by turn."""
        return paired_ratio(self.find(ratio.numerator).turns, self.find(ratio.denominator).turns)

    @property
    def is_quotable(self) -> bool:
        """Whether the machine held still while it was measured."""
        return not self.header["unsteady"]


def to_json(result: Result) -> Dict[str, Any]:
    """The result as a JSON object."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "kind": result.kind,
        "header": result.header,
        "series": [
            {
                "name": one.name,
                "unit": one.unit,
                "turns": [[_short(value) for value in turn] for turn in one.turns],
            }
            for one in result.series
        ],
        "ratios": [dict(ratio._asdict()) for ratio in result.ratios],
        "facts": result.facts,
    }


def save(result: Result, path: str) -> None:
    """Write a result file, whole or not at all; samples of a turn stand on one line."""
    text = _as_text(to_json(result))
    folder = os.path.dirname(os.path.abspath(path))
    handle, scratch = tempfile.mkstemp(dir=folder, prefix=".", suffix=".json")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


def load(path: str) -> Result:
    """Read a result file.

    Raises:
        LegoclfError: it is none, or lacks its samples or conditions; the text says what.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            record = json.load(stream)
    except (OSError, ValueError, RecursionError) as error:
        raise LegoclfError("{}: not a benchmark result: {}".format(path, error)) from error
    return parse(record, path)


def parse(record: Any, path: str) -> Result:
    """The result in a JSON object; ``path`` is what errors name.

    Raises:
        LegoclfError: as :func:`load`.
    """
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise LegoclfError(
            "{}: not a benchmark result; expected what `legoclf benchmark` writes".format(path)
        )
    if record.get("format_version") != FORMAT_VERSION:
        raise LegoclfError(
            "{}: format {} of results; this legoclf reads {}".format(
                path, record.get("format_version"), FORMAT_VERSION
            )
        )
    kind, header, facts = record.get("kind"), record.get("header"), record.get("facts")
    if not isinstance(kind, str) or not isinstance(header, dict) or not isinstance(facts, dict):
        raise LegoclfError("{}: has no kind, header or facts".format(path))
    _check_header(header, path)
    series = [_series(each, path) for each in _list(record, "series", path)]
    if not series:
        raise LegoclfError("{}: has no samples; figures without their raw samples are not taken".format(path))
    names = [one.name for one in series]
    if len(set(names)) < len(names):
        raise LegoclfError("{}: two series have one name".format(path))
    ratios = [_ratio(each, path) for each in _list(record, "ratios", path)]
    names = [ratio.name for ratio in ratios]
    if len(set(names)) < len(names):
        raise LegoclfError("{}: two ratios have one name".format(path))
    result = Result(kind, header, series, ratios, facts)
    for ratio in result.ratios:
        try:
            result.ratio(ratio)
        except (KeyError, ValueError, ZeroDivisionError) as error:
            raise LegoclfError(
                "{}: its ratio '{}' cannot be taken: {}".format(path, ratio.name, error)
            ) from error
    return result


def _check_header(header: Dict[str, Any], path: str) -> None:
    missing = [name for name in HEADER if name not in header]
    if missing:
        raise LegoclfError("{}: its header does not tell: {}".format(path, ", ".join(missing)))
    for name, kinds in HEADER.items():
        if not isinstance(header[name], kinds):
            raise LegoclfError(
                "{}: its header's {} is {!r}, of another type than expected".format(path, name, header[name])
            )
    if not all(isinstance(reason, str) for reason in header["unsteady"]):
        raise LegoclfError("{}: its header's unsteady is no list of reasons".format(path))


def _series(record: Any, path: str) -> Series:
    try:
        name, unit, turns = record["name"], record["unit"], record["turns"]
    except (TypeError, KeyError) as error:
        raise LegoclfError(
            "{}: a series has no {}; figures without their raw samples are not taken".format(path, error)
        ) from error
    if not isinstance(unit, str) or unit not in UNITS:
        raise LegoclfError(
            "{}: series '{}': unit {!r}, expected one of {}".format(path, name, unit, ", ".join(UNITS))
        )
    if not isinstance(turns, list) or not turns or not all(_is_turn(turn) for turn in turns):
        raise LegoclfError(
            "{}: series '{}' has no raw samples: turns of numbers of 0 or more".format(path, name)
        )
    if unit == "right" and any(value not in (0, 1) for turn in turns for value in turn):
        raise LegoclfError("{}: series '{}': expected 1 or 0 for each image".format(path, name))
    return Series(str(name), unit, turns)


def _ratio(record: Any, path: str) -> Ratio:
    try:
        ratio = Ratio(**record)
    except TypeError as error:
        raise LegoclfError("{}: a ratio is damaged: {}".format(path, error)) from error
    if ratio.better not in ("higher", "lower"):
        raise LegoclfError("{}: ratio '{}': better is {!r}".format(path, ratio.name, ratio.better))
    return ratio


def _list(record: Dict[str, Any], name: str, path: str) -> List[Any]:
    found = record.get(name)
    if not isinstance(found, list):
        raise LegoclfError(
            "{}: has no {}; figures without their raw samples are not taken".format(path, name)
        )
    return found


def _is_turn(turn: Any) -> bool:
    # NaN, which Python's json lets through, is not >= 0.
    return (
        isinstance(turn, list)
        and bool(turn)
        and all(
            isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _LARGEST
            for value in turn
        )
    )


def _short(value: float) -> float:
    return float("{:.{}g}".format(value, _DIGITS))


def _as_text(record: Dict[str, Any]) -> str:
    """JSON in which a turn stands on one line, as people and version control can read it."""
    parts = []
    for name, value in record.items():
        if name == "series":
            text = "[\n" + ",\n".join(_series_text(one) for one in value) + "\n ]"
        else:
            text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).replace("\n", "\n ")
        parts.append(" {}: {}".format(json.dumps(name), text))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _series_text(series: Dict[str, Any]) -> str:
    name, unit = (json.dumps(series[key], ensure_ascii=False) for key in ("name", "unit"))
    turns = ",\n".join(
        "   " + json.dumps(turn, separators=(",", ":"), allow_nan=False) for turn in series["turns"]
    )
    return '  {{"name": {}, "unit": {}, "turns": [\n{}]}}'.format(name, unit, turns)
