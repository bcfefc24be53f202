"""The flags of `legoclf retrain`."""

import argparse
import os
from pathlib import Path

from legoclf.contract import GEOMETRIES
from legoclf.data.named import NAMED_SETS
from legoclf.retrain.balance import BALANCES
from legoclf.retrain.engines import ENGINES, PRECISIONS
from legoclf.retrain.heads import SgdSettings
from legoclf.retrain.networks.flags import add_network_flags
from legoclf.retrain.settings import HEADS, Settings
from legoclf.split import SPLIT_HASHES

#: What --logging_verbosity takes, as in retrain.py, and Python's name of it.
VERBOSITIES = {"DEBUG": "DEBUG", "INFO": "INFO", "WARN": "WARNING", "ERROR": "ERROR", "FATAL": "CRITICAL"}

#: retrain.py's default places by flag, where results are copied to.
DEFAULT_PLACES = {
    "output_graph": "/tmp/output_graph.pb",
    "output_labels": "/tmp/output_labels.txt",
    "summaries_dir": "/tmp/retrain_logs",
    "checkpoint_path": "/tmp/_retrain_checkpoint",
    "intermediate_output_graphs_dir": "/tmp/intermediate_graph/",
}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Define them in groups, as --help shows them."""
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
        add(f"--{flag}", type=Path, help=f"{what} ({DEFAULT_PLACES[flag]})")
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
