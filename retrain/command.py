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
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legoclf.data.named import named_data_set
from legoclf.retrain.flag_settings import settings_of
from legoclf.retrain.flags import VERBOSITIES, add_flags
from legoclf.user_cache import default_cache_dir

if TYPE_CHECKING:
    from legoclf.retrain.heads import Head
    from legoclf.retrain.training import Trained


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the flags of `legoclf retrain`."""
    parser.usage = "%(prog)s (--image_dir IMAGE_DIR | --dataset NAME) [flags]"
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Train as the command line says and print what came out."""
    logging.getLogger().setLevel(VERBOSITIES[args.logging_verbosity])
    settings = settings_of(args)
    if args.dataset is not None:
        named_data_set(args.dataset, Path(default_cache_dir()), args.images_a_class)

    from legoclf.retrain.training import retrain

    def show(network: Any, head: "Head | None") -> None:
        from legoclf.retrain.networks.model_summary import summary_lines

        # --json is alone on standard output.
        print(*summary_lines(network, head), sep="\n", file=sys.stderr if args.json else sys.stdout)

    on_network = show if args.print_model_summary else None
    trained = retrain(settings, Path(default_cache_dir()), on_network)
    if trained is None:
        return 0
    _print_outcome(trained, args.json, args.print_misclassified_test_images)
    if trained.result.head.how.get("interrupted"):
        sys.stderr.write(
            "legoclf: interrupted: the bundle holds the best head so far; the same command again trains it "
            "to the end, on the features that are kept\n"
        )
        return 130
    return 0


def _print_outcome(trained: "Trained", is_json: bool, with_mistakes: bool) -> None:
    from legoclf.retrain.outcome import as_json, as_text

    if is_json:
        text = json.dumps(as_json(trained), ensure_ascii=False, indent=2) + "\n"
        # A file name that is no UTF-8 stands in JSON by its escapes.
        sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))
    else:
        sys.stdout.write(as_text(trained, with_mistakes))
