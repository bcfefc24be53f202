"""What the flags of `legoclf retrain` mean together."""

import argparse
import dataclasses
from pathlib import Path

from legoclf.data.named import named_folder
from legoclf.errors import UsageError
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.flags import DEFAULT_PLACES
from legoclf.retrain.heads import SgdSettings
from legoclf.retrain.networks.flags import SHARED_FLAGS, network_settings
from legoclf.retrain.settings import FINE_TUNE_AUGMENTATION, Outputs, Settings
from legoclf.user_cache import default_cache_dir

#: Flags of SGD: one of them given means that SGD is wanted.
_SGD_FLAGS = (
    "how_many_training_steps",
    "learning_rate",
    "train_batch_size",
    "validation_batch_size",
    "eval_step_interval",
)
_AUGMENTATION_FLAGS = tuple(field.name for field in dataclasses.fields(Augmentation))


def settings_of(args: argparse.Namespace) -> Settings:
    """The settings that parsed flags mean.

    Args:
        args: what a parser with :func:`legoclf.retrain.flags.add_flags` gives, and ``command_line``, the
            words that were called.

    Raises:
        UsageError: a value is out of its range, or flags do not go together; it names them.
    """
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
        for flag, place in DEFAULT_PLACES.items()
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
        unknown_classes=_names(args.unknown_classes),
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
            optional=frozenset(flag for flag in DEFAULT_PLACES if getattr(args, flag) is None),
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
