"""Two results of one kind of benchmark: which of their differences are more than noise.

Each series that both have is put to a test over its turns (:mod:`legoclf.benchmarks.two_samples`), and the
p-values are corrected for their number, once for the ratios and once for the series. A test over turns can
tell that two runs differ. Why they differ it cannot: another load, clock or room may have slowed one of them.
Both series of a ratio met the same, turn by turn; so the ratios come first.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from legoclf.benchmarks import two_samples
from legoclf.benchmarks.device.emit import factor, interval, number, percent
from legoclf.benchmarks.device.result import Ratio, Result, Series
from legoclf.benchmarks.device.samples import Estimate, medians, middle
from legoclf.benchmarks.text import cell
from legoclf.errors import LegoclfError

NOISE = "noise"
TOO_FEW = "too few turns"

#: What a significant rise and fall are called, by unit; "" stands for a ratio whose better is higher.
_WORDS = {
    "ms": ("slower", "faster"),
    "s": ("slower", "faster"),
    "1/s": ("faster", "slower"),
    "GFLOP/s": ("faster", "slower"),
    "GB/s": ("faster", "slower"),
    "MB": ("larger", "smaller"),
    "mJ": ("more", "less"),
    "W": ("more", "less"),
    "right": ("better", "worse"),
    "higher": ("better", "worse"),
    "lower": ("worse", "better"),
}

#: Keys of the header in which two runs that are compared should agree, and those of its clocks that stay put.
_CONDITIONS = ("device", "jetpack", "cores", "cpu_quota", "python", "power_mode")
_CLOCKS = ("governor", "cpu_min_mhz", "cpu_max_mhz", "gpu_min_mhz", "gpu_max_mhz")


@dataclass(frozen=True)
class Change:
    """One series or ratio that both runs have.

    unit: of the series; "" for a ratio. old, new: its middle in A and in B. shift: B over A, the
    Hodges-Lehmann estimate with its own 95 % interval, None where a median is 0; of unit ``right`` the
    difference of the shares. p: of ``test``; p_corrected: for the number of tests. verdict: what changed,
    in a word of its unit, or NOISE or TOO_FEW.
    """

    name: str
    unit: str
    old: Estimate
    new: Estimate
    shift: Estimate | None
    test: str
    p: float
    p_corrected: float
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """What two results come to, side by side. warnings: why they may not be comparable, gravest first."""

    kind: str
    old: dict[str, Any]
    new: dict[str, Any]
    warnings: list[str]
    ratios: list[Change]
    series: list[Change]
    only_old: list[str]
    only_new: list[str]

    def as_json(self) -> dict[str, Any]:
        """The same as a JSON object; an estimate is an object of value, low and high."""
        record = {name: value for name, value in vars(self).items() if name not in ("ratios", "series")}
        for name in ("ratios", "series"):
            record[name] = [_change_as_json(change) for change in getattr(self, name)]
        return record


@dataclass(frozen=True)
class _Tested:
    """A change before the correction. least_p: the smallest that so few values can give."""

    name: str
    unit: str
    words: tuple[str, str]
    old: Estimate
    new: Estimate
    shift: Estimate | None
    difference: float
    test: str
    p: float
    least_p: float


def compare(old: Result, new: Result) -> Comparison:
    """Test every series and ratio that both have.

    Raises:
        LegoclfError: they have none in common.
    """
    old_series, new_series = ({one.name: one for one in result.series} for result in (old, new))
    common = [name for name, one in old_series.items() if _unit(new_series.get(name)) == one.unit]
    old_ratios, new_ratios = ({one.name: one for one in result.ratios} for result in (old, new))
    common_ratios = [name for name, one in old_ratios.items() if new_ratios.get(name) == one]
    if not common:
        raise LegoclfError(
            f"nothing to compare: '{old.kind}' and '{new.kind}' have no series of one name and unit; "
            "expected two results of one benchmark"
        )
    are_same_images = _same_images(old, new)
    tested = [_test_series(old_series[name], new_series[name], are_same_images) for name in common]
    tested_ratios = [_test_ratio(old_ratios[name], old, new) for name in common_ratios]
    return Comparison(
        kind=old.kind,
        old=_identity(old),
        new=_identity(new),
        warnings=_warnings(old, new, are_same_images),
        ratios=_judged(tested_ratios),
        series=_judged(tested),
        only_old=_only(old, common, common_ratios),
        only_new=_only(new, common, common_ratios),
    )


def as_markdown(comparison: Comparison) -> str:
    """Warnings, the ratios, the series, and what only one has."""
    lines = [f"# {cell(comparison.kind)}: B against A", ""]
    lines += [line for warning in comparison.warnings for line in (f"**{cell(warning)}**", "")]
    for letter, run in (("A", comparison.old), ("B", comparison.new)):
        lines.append(f"- {letter}: {cell(run['device'])}, {cell(run['date'])}, `{cell(run['command'])}`")
    lines.append("")
    if comparison.ratios:
        lines += _table("ratio, within each run", comparison.ratios)
        lines += [
            "Each ratio is of two series that took turns within one run: what slowed that run slowed both. "
            "Trust these before the times below, which differ between runs for reasons that no test can see.",
            "",
        ]
    lines += _table("measured", comparison.series)
    lines += [
        "B / A is the Hodges-Lehmann shift of the turns' medians with its own 95 % interval (of images "
        "right: the difference). A verdict needs p < 0.05 after Holm's correction, "
        f"over {len(comparison.ratios)} ratios and over {len(comparison.series)} series.",
        "",
    ]
    for letter, names in (("A", comparison.only_old), ("B", comparison.only_new)):
        if names:
            lines += [f"Only in {letter}: {'; '.join(cell(name) for name in names)}", ""]
    return "\n".join(lines).rstrip("\n") + "\n"


def ratio_turns(ratio: Ratio, result: Result) -> list[float]:
    """A ratio of each turn."""
    numerator, denominator = (result.find(name).turns for name in (ratio.numerator, ratio.denominator))
    return [above / below for above, below in zip(medians(numerator), medians(denominator), strict=True)]


def _test_ratio(ratio: Ratio, old: Result, new: Result) -> _Tested:
    a, b = ratio_turns(ratio, old), ratio_turns(ratio, new)
    return _test_turns(ratio.name, "", _WORDS[ratio.better], a, b)


def _test_series(old: Series, new: Series, are_same_images: bool) -> _Tested:
    if old.unit != "right":
        return _test_turns(old.name, old.unit, _WORDS[old.unit], medians(old.turns), medians(new.turns))
    a, b = ([value for turn in one.turns for value in turn] for one in (old, new))
    if are_same_images and len(a) == len(b):
        test, p, shift = "McNemar", two_samples.mcnemar(a, b), two_samples.paired_difference(a, b)
    else:
        test, p, shift = "Fisher", two_samples.fisher(a, b), two_samples.unpaired_difference(a, b)
    words = _WORDS["right"]
    return _Tested(old.name, "right", words, old.share, new.share, shift, shift.value, test, p, 0.0)


def _test_turns(name: str, unit: str, words: tuple[str, str], a: list[float], b: list[float]) -> _Tested:
    old, new = middle(a), middle(b)
    shift = two_samples.ratio_of_shift(a, b)
    difference = new.value - old.value if shift is None else shift.value - 1
    p, least_p = two_samples.mann_whitney(a, b), two_samples.least_p(len(a), len(b))
    return _Tested(name, unit, words, old, new, shift, difference, "Mann-Whitney", p, least_p)


def _judged(tested: Sequence[_Tested]) -> list[Change]:
    """Holm's correction over all of them, and the verdicts."""
    corrected = two_samples.holm([each.p for each in tested])
    changes = []
    for each, p in zip(tested, corrected, strict=True):
        if p < two_samples.SIGNIFICANCE and each.difference:
            verdict = each.words[0] if each.difference > 0 else each.words[1]
        else:
            could_be = each.least_p * len(tested) < two_samples.SIGNIFICANCE
            verdict = NOISE if could_be else TOO_FEW
        changes.append(
            Change(each.name, each.unit, each.old, each.new, each.shift, each.test, each.p, p, verdict)
        )
    return changes


def _warnings(old: Result, new: Result, are_same_images: bool) -> list[str]:
    found = []
    if old.kind != new.kind:
        found.append(f"NOT THE SAME BENCHMARK: A is '{old.kind}', B is '{new.kind}'.")
    for name in (*_CONDITIONS, *_CLOCKS):
        before, after = (_condition(result.header, name) for result in (old, new))
        if before != after:
            found.append(f"NOT THE SAME {name.upper().replace('_', ' ')}: A {before}, B {after}.")
    before, after = old.header["versions"], new.header["versions"]
    differing = [
        f"{package} {before.get(package, 'missing')} and {after.get(package, 'missing')}"
        for package in sorted(set(before) | set(after))
        if before.get(package) != after.get(package)
    ]
    if differing:
        found.append(f"NOT THE SAME VERSIONS, of A and of B: {', '.join(differing)}.")
    for letter, result in (("A", old), ("B", new)):
        if not result.is_quotable:
            reasons = "; ".join(str(reason) for reason in result.header["unsteady"])
            found.append(f"{letter} WAS UNSTEADY: {reasons}.")
    if any(one.unit == "right" for one in old.series + new.series) and not are_same_images:
        found.append(
            "Accuracies are compared as of different images: the results do not prove them the same."
        )
    return found


def _condition(header: dict[str, Any], name: str) -> Any:
    clocks = header["clocks"]
    if name in _CLOCKS:
        return clocks.get(name) if isinstance(clocks, dict) else None
    return header.get(name)


def _same_images(old: Result, new: Result) -> bool:
    """Whether both name the same images, in order, by their digest in the facts."""
    digests = [result.facts.get("images") for result in (old, new)]
    return isinstance(digests[0], str) and digests[0] == digests[1]


def _only(result: Result, common: Sequence[str], common_ratios: Sequence[str]) -> list[str]:
    alone = [f"{one.name} ({one.unit})" for one in result.series if one.name not in common]
    return alone + [f"ratio: {one.name}" for one in result.ratios if one.name not in common_ratios]


def _unit(series: Series | None) -> str | None:
    return None if series is None else series.unit


def _identity(result: Result) -> dict[str, Any]:
    return {name: result.header[name] for name in ("device", "date", "command", "versions", "unsteady")}


def _table(title: str, changes: Sequence[Change]) -> list[str]:
    lines = [
        f"| {title} | unit | A | B | B / A | 95 % interval | p, corrected | verdict |",
        "|---|---|---:|---:|---:|---|---:|---|",
    ]
    lines += [_row(change) for change in changes]
    return [*lines, ""]


def _row(change: Change) -> str:
    form: Callable[[float], str] = number if change.unit else factor
    shift_form: Callable[[float], str] = factor
    if change.unit == "right":
        form, shift_form = percent, _points
    shift = "–" if change.shift is None else shift_form(change.shift.value)
    limits = "–" if change.shift is None else interval(change.shift, shift_form)
    p = "< 0.001" if change.p_corrected < 0.001 else f"{change.p_corrected:.3f}"
    verdict = change.verdict if change.verdict in (NOISE, TOO_FEW) else f"**{change.verdict}**"
    return (
        f"| {cell(change.name)} | {change.unit} | {form(change.old.value)} | {form(change.new.value)} "
        f"| {shift} | {limits} | {p} | {verdict} |"
    )


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f} points"


def _change_as_json(change: Change) -> dict[str, Any]:
    record = asdict(change)
    for name in ("old", "new", "shift"):
        estimate = getattr(change, name)
        record[name] = None if estimate is None else estimate._asdict()
    return record
