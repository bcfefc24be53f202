"""Train a classifier on a folder of photos.

    legoclf retrain --image_dir ~/lego_bricks

IMAGE_DIR holds a folder of images for each class. Out comes <image_dir name>.bundle in the working folder:
frozen graph, SavedModel, ONNX, labels, figures and a report.

The flags are those of TF-Hub's retrain.py, with these departures: the feature vector is the embedded
ImageNet MobileNetV2 unless --tfhub_module names another; the head is trained by L-BFGS unless a flag of SGD
is given (--how_many_training_steps, --learning_rate, --train_batch_size, --validation_batch_size,
--eval_step_interval, --intermediate_store_frequency); the split hashes the path within the data set, so that
moving the data set keeps it; a folder of summaries is never deleted; label names stay as written.
"""

import argparse
import dataclasses
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

from legoclf.contract import GEOMETRIES
from legoclf.data.named import NAMED_SETS, named_data_set, named_folder
from legoclf.errors import UsageError
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.balance import BALANCES
from legoclf.retrain.engines import ENGINES, PRECISIONS
from legoclf.retrain.heads import Head, SgdSettings
from legoclf.retrain.networks.flags import SHARED_FLAGS, add_network_flags, network_settings
from legoclf.retrain.networks.model_summary import summary_lines
from legoclf.retrain.outcome import as_json, as_text
from legoclf.retrain.settings import FINE_TUNE_AUGMENTATION, HEADS, Outputs, Settings
from legoclf.split import SPLIT_HASHES
from legoclf.user_cache import default_cache_dir

VERBOSITIES = {"DEBUG": "DEBUG", "INFO": "INFO", "WARN": "WARNING", "ERROR": "ERROR", "FATAL": "CRITICAL"}

#: Flags of SGD: one of them given means that SGD is wanted.
_SGD_FLAGS = (
    "how_many_training_steps",
    "learning_rate",
    "train_batch_size",
    "validation_batch_size",
    "eval_step_interval",
)
_AUGMENTATION_FLAGS = tuple(field.name for field in dataclasses.fields(Augmentation))

#: retrain.py's default places.
_DEFAULT_PLACES = {
    "output_graph": "/tmp/output_graph.pb",
    "output_labels": "/tmp/output_labels.txt",
    "summaries_dir": "/tmp/retrain_logs",
    "checkpoint_path": "/tmp/_retrain_checkpoint",
    "intermediate_output_graphs_dir": "/tmp/intermediate_graph/",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf retrain`."""
    parser.usage = "%(prog)s (--image_dir IMAGE_DIR | --dataset NAME) [flags]"
    _add_data_flags(parser.add_argument_group("data"))
    _add_feature_flags(parser.add_argument_group("feature vector"))
    _add_augmentation_flags(parser.add_argument_group("augmentation"))
    _add_head_flags(parser.add_argument_group("head"))
    add_network_flags(parser.add_argument_group("networks that learn as a whole"))
    _add_result_flags(parser.add_argument_group("results"))


def _add_data_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    source = group.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--image_dir", type=os.path.expanduser, help="folder with a folder of images for each class"
    )
    source.add_argument(
        "--dataset",
        metavar="NAME",
        help=f"or a known data set, kept in the cache: {', '.join(NAMED_SETS)}, fetched by Keras; or "
        "tfds:NAME[/CONFIG][:VERSION] of TensorFlow Datasets (pip install 'legoclf[tfds]')",
    )
    add("--images_a_class", type=int, metavar="N", help="of --dataset, the first N of each class (all)")
    for split in ("testing", "validation"):
        default = getattr(Settings, f"{split}_percentage")
        add(f"--{split}_percentage", type=int, default=default, help=f"of each class ({default})")
    add(
        "--split_hash",
        choices=SPLIT_HASHES,
        default=Settings.split_hash,
        help="what decides the split: the path within the data set, or the full one as in retrain.py",
    )
    add("--lowercase_labels", action="store_true", help="labels in retrain.py's lower-cased form")
    add("--strict", action="store_true", help="fail on an image that cannot be used; else it is skipped")


def _add_feature_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--tfhub_module",
        metavar="HANDLE",
        help="TF-Hub handle, SavedModel folder, or name of Keras Applications (the embedded MobileNetV2)",
    )
    add("--input_size", type=int, help="side of the module's input in pixels, where it does not tell")
    add(
        "--geometry",
        choices=GEOMETRIES,
        default=Settings.geometry,
        help=f"how an image fits the input ({Settings.geometry})",
    )
    add(
        "--bottleneck_dir",
        type=Path,
        default=Settings.bottleneck_dir,
        help=f"where extracted features are kept ({Settings.bottleneck_dir})",
    )
    add(
        "--bottleneck_size_gb",
        type=float,
        default=Settings.bottleneck_size_gb,
        metavar="GB",
        help="what they may take there; those not used for longest go first "
        f"({Settings.bottleneck_size_gb:g})",
    )
    add(
        "--extractor",
        choices=ENGINES,
        default=Settings.extractor,
        help=f"what runs the feature vector over the images ({Settings.extractor})",
    )
    add(
        "--extractor_precision",
        choices=PRECISIONS,
        default=Settings.extractor_precision,
        help="bf16: faster with openvino on CPUs that have it; the drift is told (fp32)",
    )


def _add_augmentation_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--flip_left_right", action="store_true", help="mirror at random; a mirrored part is another class!")
    for name, meaning in (
        ("crop", "margin cut off at random"),
        ("scale", "enlarged at random by up to this"),
        ("brightness", "made lighter or darker at random by up to this"),
    ):
        add(f"--random_{name}", type=int, metavar="PERCENT", help=f"{meaning} (0)")
    add("--flip_up_down", action="store_true", help="turn upside down at random; likewise!")
    for name, unit, meaning in (
        ("rotation", "DEGREES", "turned at random by up to this, either way"),
        ("shear", "DEGREES", "slanted at random by up to this"),
        ("zoom", "PERCENT", "each side made smaller or larger at random by up to this"),
        ("colour", "PERCENT", "each colour made stronger or weaker at random by up to this"),
        ("erasing", "PERCENT", "of the views lose a rectangle"),
    ):
        add(f"--random_{name}", type=int, metavar=unit, help=f"{meaning} (0)")
    add(
        "--cache_views",
        type=int,
        default=Settings.cache_views,
        help=f"augmented views kept of each training image ({Settings.cache_views})",
    )


def _add_head_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--head", choices=HEADS, help=f"how it is trained ({Settings.head}; sgd where a flag of SGD is given)"
    )
    add("--how_many_training_steps", type=int, help=f"of SGD ({SgdSettings.how_many_training_steps})")
    add("--learning_rate", type=float, help=f"of SGD ({SgdSettings.learning_rate}), or of a network")
    add("--train_batch_size", type=int, help=f"of SGD ({SgdSettings.train_batch_size}), or of a network")
    add(
        "--validation_batch_size",
        type=int,
        help=f"drawn at each evaluation; -1: the whole set ({SgdSettings.validation_batch_size})",
    )
    add("--eval_step_interval", type=int, help=f"of SGD ({SgdSettings.eval_step_interval})")
    add(
        "--test_batch_size",
        type=int,
        default=Settings.test_batch_size,
        help=f"drawn for the final test; -1: the whole set ({Settings.test_batch_size})",
    )
    add(
        "--cross_validate",
        type=int,
        default=Settings.cross_validate,
        metavar="K",
        help="tell the accuracy over K folds as well; 0: do not (0)",
    )
    add("--compare_heads", action="store_true", help="cross-validate the other head too, on the same folds")
    add(
        "--no_calibration",
        action="store_true",
        help="leave the probabilities as the training made them, surer or less sure than they are right",
    )
    add(
        "--false_reject_rate",
        type=float,
        default=Settings.false_reject_rate,
        metavar="SHARE",
        help="of images of the classes, what may be answered `unknown` so that other things are; "
        f"0: nothing is ({Settings.false_reject_rate})",
    )
    add(
        "--unknown_classes",
        metavar="NAMES",
        help="classes, separated by commas, not to train on but to offer as unknown afterwards, with figures",
    )
    add(
        "--balance",
        choices=BALANCES,
        default=Settings.balance,
        help="classes of unequal size: drawn alike often, counted alike, or as they come (sample)",
    )
    add("--seed", type=int, default=Settings.seed, help="of batches, weights and views (0)")


def _add_result_flags(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--bundle", type=Path, help="the bundle to write (<image_dir name>.bundle in the working folder)")
    add("--final_tensor_name", default=Settings.final_tensor_name, help="of the softmax (final_result)")
    add("--print_model_summary", action="store_true", help="list layers, shapes and parameters first")
    add("--print_misclassified_test_images", action="store_true", help="list the test images named wrong")
    for flag, what in (
        ("output_graph", "a copy of the frozen graph"),
        ("output_labels", "a copy of the labels"),
        ("summaries_dir", "TensorBoard logs"),
        ("checkpoint_path", "the head as a TensorFlow checkpoint: prefix of its files"),
        ("intermediate_output_graphs_dir", "frozen graphs of steps on the way"),
    ):
        add(f"--{flag}", type=Path, help=f"{what} ({_DEFAULT_PLACES[flag]})")
    add(
        "--assert_accuracy_at_least",
        type=float,
        metavar="X",
        help="export nothing if the test accuracy is below X, a fraction from 0 to 1",
    )
    add("--saved_model_dir", type=Path, help="a copy of the SavedModel (none)")
    add(
        "--intermediate_store_frequency",
        type=int,
        default=0,
        metavar="STEPS",
        help="steps from one of those graphs to the next; 0: none (0)",
    )
    add("--logging_verbosity", choices=tuple(VERBOSITIES), default="INFO", help="(INFO)")
    add("--json", action="store_true", help="print one JSON object instead of text")


def run(args: argparse.Namespace) -> int:
    """Train as the command line says and print what came out."""
    logging.getLogger().setLevel(VERBOSITIES[args.logging_verbosity])
    settings = settings_of(args)
    if args.dataset is not None:
        named_data_set(args.dataset, Path(default_cache_dir()), args.images_a_class)

    from legoclf.retrain.training import retrain

    def show(network: Any, head: Head | None) -> None:
        # --json is alone on standard output.
        print(*summary_lines(network, head), sep="\n", file=sys.stderr if args.json else sys.stdout)

    on_network = show if args.print_model_summary else None
    trained = retrain(settings, Path(default_cache_dir()), on_network)
    if trained is None:
        return 0
    if args.json:
        text = json.dumps(as_json(trained), ensure_ascii=False, indent=2) + "\n"
        # A file name that is no UTF-8 stands in JSON by its escapes.
        sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))
    else:
        sys.stdout.write(as_text(trained, args.print_misclassified_test_images))
    if trained.head.how.get("interrupted"):
        sys.stderr.write(
            "legoclf: interrupted: the bundle holds the best head so far; the same command again trains it "
            "to the end, on the features that are kept\n"
        )
        return 130
    return 0


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that parsed flags mean."""
    image_dir = _image_dir(args)
    name = Path(image_dir).resolve().name
    network = network_settings(args)
    given = {flag: getattr(args, flag) for flag in _SGD_FLAGS if getattr(args, flag) is not None}
    if network.learns:
        given = {flag: value for flag, value in given.items() if flag not in SHARED_FLAGS}
    wants_sgd = bool(given) or args.intermediate_store_frequency > 0
    if network.from_scratch and (wants_sgd or args.head):
        flags = ", ".join("--" + flag for flag in given) or "--head"
        raise UsageError(
            f"--architecture {network.architecture} has no head on frozen features, which {flags} is for; "
            "leave one of them out"
        )
    if args.head == "lbfgs" and wants_sgd:
        flags = ", ".join("--" + flag for flag in given) or "--intermediate_store_frequency"
        raise UsageError(f"--head lbfgs takes no flag of SGD, and {flags} is one; leave one of them out")
    places = {
        flag: Path(place) if getattr(args, flag) is None else getattr(args, flag)
        for flag, place in _DEFAULT_PLACES.items()
    }
    return Settings(
        image_dir=image_dir,
        bundle=args.bundle or Path(f"{name}.bundle"),
        tfhub_module=args.tfhub_module,
        input_size=args.input_size,
        geometry=args.geometry,
        lowercase_labels=args.lowercase_labels,
        split_hash=args.split_hash,
        testing_percentage=args.testing_percentage,
        validation_percentage=args.validation_percentage,
        strict=args.strict,
        **_augmentations(args),
        balance=args.balance,
        network=network,
        cache_views=args.cache_views,
        head=args.head or ("sgd" if wants_sgd else Settings.head),
        sgd=SgdSettings(**given),
        test_batch_size=args.test_batch_size,
        cross_validate=args.cross_validate,
        compare_heads=args.compare_heads,
        calibration=not args.no_calibration,
        false_reject_rate=args.false_reject_rate,
        unknown_classes=tuple(
            name.strip() for name in (args.unknown_classes or "").split(",") if name.strip()
        ),
        assert_accuracy_at_least=args.assert_accuracy_at_least,
        seed=args.seed,
        final_tensor_name=args.final_tensor_name,
        bottleneck_dir=args.bottleneck_dir,
        bottleneck_size_gb=args.bottleneck_size_gb,
        extractor=args.extractor,
        extractor_precision=args.extractor_precision,
        outputs=Outputs(
            **places,
            saved_model_dir=args.saved_model_dir,
            intermediate_store_frequency=args.intermediate_store_frequency,
            optional=frozenset(flag for flag in _DEFAULT_PLACES if getattr(args, flag) is None),
        ),
        command=tuple(args.command_line),
    )


def _names(text: str | None) -> tuple[str, ...]:
    """Names that stand between commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _augmentations(args: argparse.Namespace) -> dict[str, Augmentation]:
    """Of heads, and of fine-tuning, which has one of its own unless a flag of augmentation is given."""
    flags = {flag: getattr(args, flag) for flag in _AUGMENTATION_FLAGS}
    given = {flag: value for flag, value in flags.items() if value is not None and value is not False}
    asked = Augmentation(**given)
    return {"augmentation": asked, "fine_tune_augmentation": asked if given else FINE_TUNE_AUGMENTATION}


def _image_dir(args: argparse.Namespace) -> str:
    if args.dataset is not None:
        return str(named_folder(args.dataset, Path(default_cache_dir()), args.images_a_class))
    if args.images_a_class is not None:
        raise UsageError("--images_a_class goes with --dataset only; leave it out, or name a data set")
    return str(args.image_dir)
