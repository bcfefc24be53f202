"""The flags of networks whose own weights learn."""

import argparse
from dataclasses import replace
from pathlib import Path

from legoclf.retrain.networks.devices import DEVICES
from legoclf.retrain.networks.scratch import OPTIMIZERS
from legoclf.retrain.networks.settings import ARCHITECTURES, NetworkSettings

#: Flags of retrain.py's SGD that a network takes as well.
SHARED_FLAGS = ("learning_rate", "train_batch_size")


def add_network_flags(group: argparse._ArgumentGroup) -> None:
    """Define them, but for SHARED_FLAGS."""
    add = group.add_argument
    add(
        "--fine_tune",
        action="store_true",
        help="train the pretrained network too, after its head; kept if it serves validation better",
    )
    add(
        "--architecture",
        choices=ARCHITECTURES,
        default=NetworkSettings.architecture,
        help=f"what to train; the small ones from scratch ({NetworkSettings.architecture})",
    )
    add(
        "--blocks",
        type=int,
        metavar="N",
        help="of a small network: how many it has; with --fine_tune: how many of the last learn (all)",
    )
    add("--optimizer", choices=OPTIMIZERS, help="of a small network (its own)")
    add("--momentum", type=float, help="of rmsprop and sgd (0)")
    add("--epochs", type=int, help="passes over the training images, at most (that of the network)")
    add("--patience", type=int, help="epochs without a better validation loss, after which it stops (5)")
    add(
        "--label_smoothing",
        type=float,
        metavar="SHARE",
        help="share of each target that is spread over all classes (0.05 with --fine_tune, else 0)",
    )
    add(
        "--depth_decay",
        type=float,
        metavar="SHARE",
        help="with --fine_tune: what the learning rate of each third of the blocks towards the image is "
        "multiplied by (1: all learn alike)",
    )
    add(
        "--average_decay",
        type=float,
        metavar="DECAY",
        help="of the moving average of the weights, which is what counts; 0: none (that of the network)",
    )
    add(
        "--device",
        choices=DEVICES,
        default=NetworkSettings.device,
        help="what to train on; several GPUs share each batch, and so do machines of TF_CONFIG (auto)",
    )
    add("--checkpoint_dir", type=Path, help="folder for the weights of each epoch, and for states (none)")
    add(
        "--checkpoint_every",
        type=int,
        default=NetworkSettings.checkpoint_every,
        metavar="EPOCHS",
        help="from one state and whole model to the next (1)",
    )
    add("--resume", metavar="FILE|DIR|latest", help="go on from a checkpoint, as if it had never stopped")


def network_settings(args: argparse.Namespace) -> NetworkSettings:
    """What parsed flags ask of networks."""
    names = (
        "architecture", "fine_tune", "blocks", "optimizer", "momentum", "epochs", "patience",
        "label_smoothing", "depth_decay", "average_decay", "device", "checkpoint_dir", "checkpoint_every",
        "resume",
    )  # fmt: skip
    settings = NetworkSettings(**{name: getattr(args, name) for name in names})
    if not settings.learns:
        return settings
    return replace(settings, learning_rate=args.learning_rate, batch_size=args.train_batch_size)
