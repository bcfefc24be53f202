"""Training as `legoclf retrain` does it, stage by stage and against others: same images, split and run."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from legoclf.benchmarks import extraction, peers_keras, peers_timm
from legoclf.benchmarks.device.result import Measured, Ratio, Series
from legoclf.benchmarks.peers import (
    HEAD,
    OWN_PASSES,
    OWN_WHOLE,
    SKLEARN,
    Legoclf,
    RetrainPy,
    ScikitLearn,
)
from legoclf.benchmarks.peers_task import (
    Contender,
    Task,
    check_tensorflow_decodes,
    prepare,
    some_images,
    take_turns,
    without_progress,
)
from legoclf.benchmarks.retraining import (
    YARDSTICK,
    compare,
    difference_line,
    extrapolated,
    open_yardstick,
    right_series,
)
from legoclf.benchmarks.stages import Stages, measure_stages
from legoclf.contract import unit_range_contract
from legoclf.data.folder import scan_folder
from legoclf.errors import LegoclfError
from legoclf.retrain.cross_validate import Pooled
from legoclf.retrain.engines import OnnxRuntimeEngine
from legoclf.retrain.feature_vector import FeatureVector
from legoclf.retrain.heads import SgdSettings
from legoclf.split import TEST, TRAIN, VALIDATION


@dataclass(frozen=True)
class Extent:
    """How much is measured.

    images: of the data set, at most. stage_images: that each stage and the bare extractor are measured on.
    rounds: turns of each; 6 or more for intervals. seconds: that each other one is measured, all turns
    together. epochs: of Keras' fit. steps: of retrain.py's SGD, for its accuracy. views: augmented ones.
    """

    images: int
    stage_images: int
    rounds: int
    seconds: float
    epochs: int
    steps: int
    views: int


def measure(
    vector: FeatureVector, image_dir: Path, extent: Extent, timm_checkpoint: Path | None = None
) -> Measured:
    """Measure the stages, then the whole in turns with the others, then who names which test image right.

    Args:
        timm_checkpoint: a file of timm's weights; None for those that are on this machine, if there are any.
    """
    dataset = some_images(scan_folder(str(image_dir)), extent.images)
    with without_progress(), ExitStack() as stack:
        task = prepare(vector, dataset, extent.views)
        bare = extraction.measure(vector, image_dir, extent.stage_images, extent.rounds, extent.views)
        stages = _stages(task, extent)
        contenders, left_out = _contenders(task, extent, timm_checkpoint, stack)
        turns = take_turns(contenders, extent.rounds)
        answers = _answers(contenders) if task.items(TEST) else []
    wholes = _wholes(turns, task, extent)
    differences = compare(answers[1:], answers[0]) if answers else []
    facts = {
        **_facts(task),
        "extent": vars(extent),
        "extraction": bare.facts,
        "left_out": left_out,
        "differences": differences,
        "notes": [
            *stages.facts["notes"],
            *bare.facts["notes"],
            f"{task.dataset.summary()}; {task.passes} passes through the network for all features",
            *(each.note for each in contenders if each.note),
            *(difference_line(each) for each in differences),
            *(f"left out: {name}: {why}" for name, why in left_out.items()),
        ],
    }
    series = [*turns, *wholes, *stages.series, *bare.series]
    series += [right_series(f"test images, {one.head}", one.right) for one in answers]
    names = {each.name for each in series}
    ratios = [*_ratios(names, wholes), *bare.ratios, *stages.ratios]
    return Measured(series, ratios, facts)


def _stages(task: Task, extent: Extent) -> Measured:
    """Of training images, spread over the classes: only these have augmented views."""
    items = task.items(TRAIN)
    chosen = items[:: max(1, len(items) // extent.stage_images)][: extent.stage_images]
    contract = unit_range_contract(task.vector.width, task.vector.height)
    with OnnxRuntimeEngine(task.vector) as engine:
        stages = Stages(engine, contract, extent.views)
        # A tenth of what a peer has a turn: eight of them are measured.
        seconds = extent.seconds / extent.rounds / 10
        return measure_stages(stages, [item.path for item in chosen], extent.rounds, seconds)


def _contenders(
    task: Task, extent: Extent, timm_checkpoint: Path | None, stack: ExitStack
) -> tuple[list[Contender], dict[str, str]]:
    """legoclf first, then whoever can take part; and why the others cannot."""
    seconds = extent.seconds / extent.rounds

    def retrain_py() -> Contender:
        check_tensorflow_decodes(task)
        yardstick = stack.enter_context(open_yardstick(task.vector, task.dataset, SgdSettings()))
        return RetrainPy(task, yardstick, seconds, extent.steps)

    makers: dict[str, Callable[[], Contender]] = {
        "scikit-learn": lambda: ScikitLearn(task),
        "retrain.py": retrain_py,
        "Keras fit": lambda: peers_keras.KerasFit(task, extent.epochs, seconds, extent.rounds),
        "timm": lambda: peers_timm.TimmProbe(task, timm_checkpoint, seconds),
    }
    contenders: list[Contender] = [Legoclf(task)]
    left_out = {}
    for name, make in makers.items():
        try:
            contenders.append(make())
        except LegoclfError as error:
            left_out[name] = str(error)
    return contenders, left_out


def _answers(contenders: Sequence[Contender]) -> list[Pooled]:
    return [found for each in contenders if (found := each.answers()) is not None]


def _wholes(turns: Sequence[Series], task: Task, extent: Extent) -> list[Series]:
    """Seconds of the others' whole training, from their rates: all of retrain.py's steps, Keras' epochs."""
    settings = SgdSettings()
    passes = {
        YARDSTICK.format("one by one"): settings.how_many_training_steps * settings.train_batch_size,
        YARDSTICK.format("in batches"): settings.how_many_training_steps * settings.train_batch_size,
        peers_keras.PASSES: extent.epochs * len(task.items(TRAIN)),
    }
    return [extrapolated(each, passes[each.name]) for each in turns if each.name in passes]


def _ratios(names: set[str], wholes: Sequence[Series]) -> list[Ratio]:
    """Ratios to the others, of those that took part."""
    ratios = [Ratio(f"time, {each.name}, of legoclf's", each.name, OWN_WHOLE) for each in wholes]
    others = [
        peers_keras.PASSES,
        YARDSTICK.format("one by one"),
        YARDSTICK.format("in batches"),
        peers_timm.PASSES,
    ]
    ratios += [Ratio(f"passes a second, legoclf, of {name}", OWN_PASSES, name) for name in others]
    ratios.append(Ratio(f"rate of fitting, legoclf's head, of {SKLEARN}", HEAD, SKLEARN))
    return [each for each in ratios if {each.numerator, each.denominator} <= names]


def _facts(task: Task) -> dict[str, Any]:
    return {
        "images": len(task.dataset.images),
        "classes": task.classes,
        "split": {split: len(task.items(split)) for split in (TRAIN, VALIDATION, TEST)},
        "passes": task.passes,
    }
