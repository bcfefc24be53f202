"""What a run of `legoclf retrain` was asked to do."""

from dataclasses import dataclass, field
from pathlib import Path

from legoclf.contract import GEOMETRIES
from legoclf.errors import UsageError, check_range
from legoclf.retrain.advice import check_least_accuracy
from legoclf.retrain.augment import Augmentation
from legoclf.retrain.balance import BALANCES, check_balance
from legoclf.retrain.engines import ENGINES, PRECISIONS, check_engine
from legoclf.retrain.heads import SgdSettings
from legoclf.retrain.networks.settings import NetworkSettings

#: Augmented views kept of each training image, where a distortion is on. With all four distortions
#: at 5 %, over three random splits of 800 photos of 20 bricks, the test accuracy was 88.8 % with none,
#: 90.0 with 2, 90.4 with 4, 90.0 with 8 and with 16; the splits differ by 3.7.
DEFAULT_CACHE_VIEWS = 4

#: Of fine-tuning, where none is asked for: it has weights enough to learn photos by heart. Nothing that
#: makes one part of another, as a mirror does.
FINE_TUNE_AUGMENTATION = Augmentation(
    random_crop=10, random_scale=10, random_brightness=30, random_rotation=30, random_colour=20
)

HEADS = ("lbfgs", "sgd")

#: Share of images of known classes that may be answered `unknown`.
FALSE_REJECT_RATE = 0.05


@dataclass(frozen=True)
class Outputs:
    """Where results go beside the bundle; None leaves one out.

    ``optional`` are outputs at their default place: one that cannot be written there is warned of.
    """

    output_graph: Path | None = None
    output_labels: Path | None = None
    saved_model_dir: Path | None = None
    summaries_dir: Path | None = None
    checkpoint_path: Path | None = None
    intermediate_output_graphs_dir: Path | None = None
    intermediate_store_frequency: int = 0
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Settings:
    """All that decides the result of a run. Defaults here are the command's defaults.

    augmentation: of the views that a head on frozen features learns from, and of small networks.
    fine_tune_augmentation: of the views that fine-tuning learns from.
    balance: what is done about classes of unequal size, one of BALANCES.
    false_reject_rate: share of images of known classes that may be answered `unknown`; 0: nothing is.
    unknown_classes: labels that are not trained on, but offered as unknown afterwards.
    """

    image_dir: str
    bundle: Path
    tfhub_module: str | None = None
    input_size: int | None = None
    geometry: str = "squash"
    lowercase_labels: bool = False
    split_hash: str = "relative"
    testing_percentage: int = 10
    validation_percentage: int = 10
    strict: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    fine_tune_augmentation: Augmentation = FINE_TUNE_AUGMENTATION
    cache_views: int = DEFAULT_CACHE_VIEWS
    balance: str = BALANCES[0]
    network: NetworkSettings = field(default_factory=NetworkSettings)
    head: str = "lbfgs"
    sgd: SgdSettings = field(default_factory=SgdSettings)
    test_batch_size: int = -1
    cross_validate: int = 0
    compare_heads: bool = False
    calibration: bool = True
    false_reject_rate: float = FALSE_REJECT_RATE
    unknown_classes: tuple[str, ...] = ()
    assert_accuracy_at_least: float | None = None
    seed: int = 0
    final_tensor_name: str = "final_result"
    bottleneck_dir: Path = Path("/tmp/bottleneck")
    bottleneck_size_gb: float = 10.0
    extractor: str = ENGINES[0]
    extractor_precision: str = PRECISIONS[0]
    outputs: Outputs = field(default_factory=Outputs)
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise UsageError(f"--head: got {self.head}, expected one of {', '.join(HEADS)}")
        if self.geometry not in GEOMETRIES:
            raise UsageError(f"--geometry: got {self.geometry}, expected one of {', '.join(GEOMETRIES)}")
        if self.cross_validate and self.cross_validate < 3:
            raise UsageError(f"--cross_validate: got {self.cross_validate}, expected 3 folds or more")
        if self.compare_heads and not self.cross_validate:
            raise UsageError("--compare_heads compares by cross-validation: give --cross_validate K as well")
        check_balance(self.balance)
        if self.network.fine_tune and self.tfhub_module is not None:
            raise UsageError(
                f"--fine_tune trains the embedded MobileNetV2: leave --tfhub_module {self.tfhub_module} out"
            )
        if self.network.from_scratch and self.tfhub_module is not None:
            raise UsageError(
                f"--architecture {self.network.architecture} is a network of its own: "
                f"leave --tfhub_module {self.tfhub_module} out"
            )
        _at_least("cache_views", self.cache_views, 0)
        _at_least("seed", self.seed, 0)
        if self.input_size is not None:
            _at_least("input_size", self.input_size, 1)
        for name in ("how_many_training_steps", "train_batch_size", "eval_step_interval"):
            _at_least(name, getattr(self.sgd, name), 1)
        if self.sgd.learning_rate <= 0:
            raise UsageError(f"--learning_rate: got {self.sgd.learning_rate}, expected more than 0")
        if self.bottleneck_size_gb <= 0:
            raise UsageError(f"--bottleneck_size_gb: got {self.bottleneck_size_gb}, expected more than 0")
        check_range("--false_reject_rate", self.false_reject_rate, 0.0, 0.5)
        check_least_accuracy(self.assert_accuracy_at_least)
        check_engine(self.extractor, self.extractor_precision)
        for name, value in (
            ("validation_batch_size", self.sgd.validation_batch_size),
            ("test_batch_size", self.test_batch_size),
        ):
            if value != -1 and value < 1:
                raise UsageError(f"--{name}: got {value}, expected 1 or more, or -1 for the whole set")
        _at_least("intermediate_store_frequency", self.outputs.intermediate_store_frequency, 0)

    @property
    def bottleneck_bytes(self) -> int:
        """What kept features may take on disk."""
        return int(self.bottleneck_size_gb * 1e9)

    @property
    def views(self) -> int:
        """Rows of each training image: the plain one and the augmented ones."""
        return 1 + self.cache_views if self.augmentation.active else 1


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise UsageError(f"--{name}: got {value}, expected {least} or more")
