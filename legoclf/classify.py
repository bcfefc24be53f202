"""Name what images show, with a trained bundle.

    legoclf classify [BUNDLE] IMAGE|FOLDER|- ...

BUNDLE may be left out where LEGOCLF_BUNDLE is set or one *.bundle stands in the working folder. `-` reads
one image from standard input. A folder is searched for images; where its subfolders are named like the
labels, the accuracy is given as well. Images that cannot be read are named on stderr and make the exit
code 1; the others are classified all the same. Where the bundle tells what it was not trained on, such an
image is `unknown`, with what it looks like most behind it; in the accuracy that is no right answer.
"""

import argparse
import json
import logging
import os
import sys
import unicodedata
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple

from legoclf.bundle import ONNX_MODEL, Bundle, find_bundle, looks_like_bundle
from legoclf.errors import ImageError, LegoclfError, UsageError
from legoclf.novelty import add_novelty_flag, json_novelty, judge, missing_novelty, wanted_outputs

LOGGER = logging.getLogger(__name__)

BATCH_SIZE = 8


class Source(NamedTuple):
    """One image to classify: ``path`` (``-`` is standard input) and its true label, if known."""

    path: str
    truth: Optional[str]


class Answer(NamedTuple):
    """What the network says of one image.

    top: labels and probabilities, the likeliest first.
    novelty: how unlike all that was trained on; None where the graph does not say.
    is_unknown: it is too strange to be any of the labels, by the bundle's rule.
    """

    source: Source
    top: List[Tuple[str, float]]
    novelty: Optional[float] = None
    is_unknown: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf classify`."""
    parser.add_argument("inputs", nargs="+", metavar="[BUNDLE] IMAGE|FOLDER|-")
    parser.add_argument("--top_k", type=int, default=3, help="labels to give of each image (default 3)")
    add_novelty_flag(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Classify what the command line names; 1 if an image could not be read."""
    if args.top_k < 1:
        raise UsageError("--top_k: got {}, expected 1 or more".format(args.top_k))
    inputs = list(args.inputs)
    named = inputs.pop(0) if looks_like_bundle(inputs[0]) else None
    if not inputs:
        raise UsageError("no image: name an image, a folder, or - for standard input")
    bundle = Bundle.open(find_bundle(named))
    if args.no_novelty:
        bundle = bundle._replace(novelty=None)
    sources = list(find_sources(inputs, bundle.labels))
    answers: List[Answer] = []
    failed: List[ImageError] = []
    for result in classify(bundle, sources, args.top_k):
        if isinstance(result, ImageError):
            failed.append(result)
            if not args.json:
                sys.stderr.write("legoclf: skipped: {}\n".format(result))
        else:
            answers.append(result)
            if not args.json:
                _print_answer(result)
    if args.json:
        sys.stdout.write(json.dumps(_as_json(bundle, answers, failed), ensure_ascii=False, indent=2) + "\n")
    else:
        _print_accuracy(answers)
    return 1 if failed else 0


def find_sources(inputs: Iterable[str], labels: List[str]) -> Iterator[Source]:
    """The images that the arguments name, folders searched in sorted order.

    Raises:
        UsageError: an argument is neither an image, a folder nor ``-``.
        LegoclfError: a folder holds no image.
    """
    from legoclf.image import iter_image_files

    for name in inputs:
        if name == "-":
            yield Source(name, None)
        elif os.path.isdir(name):
            paths = list(iter_image_files(name))
            if not paths:
                raise LegoclfError("{}: holds no JPEG, PNG, BMP or WebP image".format(name))
            for path in paths:
                yield Source(path, _label_of(os.path.relpath(path, name), labels))
        elif os.path.isfile(name):
            yield Source(name, None)
        else:
            raise UsageError("{}: no such file or folder".format(name))


def classify(bundle: Bundle, sources: Iterable[Source], top_k: int) -> Iterator[Any]:
    """Classify images, in order: an :class:`Answer` of each, or the :class:`ImageError` it met.

    Without ``bundle.novelty`` none is unknown.
    """
    import numpy as np

    from legoclf.preprocess import fastest_fit, preprocess
    from legoclf.session import OnnxRuntimeSession

    fit = fastest_fit()

    def answers(batch: List[Any]) -> Iterator[Any]:
        read = [item for item in batch if not isinstance(item, ImageError)]
        found = session.run(np.stack([tensor for _, tensor in read]), wanted) if read else {}
        named = _answers(bundle, [source for source, _ in read], found, top_k)
        for item in batch:
            yield item if isinstance(item, ImageError) else next(named)

    with OnnxRuntimeSession(bundle.file(ONNX_MODEL)) as session:
        wanted = wanted_outputs(session.outputs)
        lack = missing_novelty(bundle.novelty, wanted)
        if lack:
            LOGGER.warning("%s: %s", bundle.file(ONNX_MODEL), lack)
        batch: List[Any] = []
        for source in sources:
            try:
                batch.append((source, preprocess(_read(source.path), bundle.contract, fit)))
            except ImageError as error:
                batch.append(error)
            if len(batch) == BATCH_SIZE:
                yield from answers(batch)
                batch = []
        yield from answers(batch)


def _read(path: str) -> Any:
    from legoclf.image import decode_image, read_image

    return decode_image(sys.stdin.buffer.read(), "standard input") if path == "-" else read_image(path)


def _label_of(relative: str, labels: List[str]) -> Optional[str]:
    """The label among the folders of a relative path, as written or in retrain.py's clean form."""
    from legoclf.split import clean_label

    # Labels are in NFC; macOS hands out names decomposed.
    for folder in unicodedata.normalize("NFC", relative).split(os.sep)[:-1]:
        for name in (folder, clean_label(folder)):
            if name in labels:
                return name
    return None


def _answers(bundle: Bundle, sources: List[Source], found: Dict[str, Any], top_k: int) -> Iterator[Answer]:
    """The answers to images by the graph's outputs for them, in their order."""
    novelty, is_novel = judge(found, bundle.novelty)
    for index, (source, row) in enumerate(zip(sources, found["probabilities"])):
        best = (-row).argsort(kind="mergesort")[:top_k]
        yield Answer(
            source,
            [(bundle.labels[label], float(row[label])) for label in best],
            None if novelty is None else float(novelty[index]),
            is_novel is not None and bool(is_novel[index]),
        )


def _print_answer(answer: Answer) -> None:
    named = ", ".join("{} {:.1%}".format(label, probability) for label, probability in answer.top)
    if answer.is_unknown:
        assert answer.novelty is not None
        named = "unknown (novelty {:.4g}), most like {}".format(answer.novelty, named)
    sys.stdout.write("{}: {}\n".format(answer.source.path, named))


def count_right(answers: Iterable[Answer]) -> Tuple[int, int]:
    """How many of the images whose true label is known were named right, and how many those are.

    One that is unknown to the model was not.
    """
    known = [answer for answer in answers if answer.source.truth is not None]
    right = [each for each in known if not each.is_unknown and each.top[0][0] == each.source.truth]
    return len(right), len(known)


def _print_accuracy(answers: List[Answer]) -> None:
    right, total = count_right(answers)
    if total:
        unknown = sum(answer.is_unknown and answer.source.truth is not None for answer in answers)
        refused = ", {} unknown".format(unknown) if unknown else ""
        sys.stdout.write("accuracy: {:.1%} ({} of {}{})\n".format(right / total, right, total, refused))


def _as_json(bundle: Bundle, answers: List[Answer], failed: List[ImageError]) -> Dict[str, Any]:
    right, known = count_right(answers)
    return {
        "bundle": bundle.path,
        "images": [_image_record(answer) for answer in answers],
        "skipped": [{"path": error.path, "reason": error.reason} for error in failed],
        "accuracy": right / known if known else None,
    }


def _image_record(answer: Answer) -> Dict[str, Any]:
    record: Dict[str, Any] = {
        "path": answer.source.path,
        "truth": answer.source.truth,
        "top": [{"label": label, "probability": value} for label, value in answer.top],
    }
    if answer.novelty is not None:
        record.update(unknown=answer.is_unknown, novelty=json_novelty(answer.novelty))
    return record
