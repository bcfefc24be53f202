"""What is asked of networks whose own weights learn: the small ones, and the pretrained one fine-tuned."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from legoclf.errors import UsageError, check_range
from legoclf.retrain.networks.fine_tune import FineTuneSettings
from legoclf.retrain.networks.scratch import ScratchSettings, scratch_settings

PRETRAINED = "mobilenet_v2"
ARCHITECTURES = (PRETRAINED, "convnet", "lenet")


@dataclass(frozen=True)
class NetworkSettings:
    """The flags of such networks; None leaves one to the default of the network.

    architecture: one of ARCHITECTURES. fine_tune: of the pretrained one, whether it learns.
    blocks: of a small network, how many it has; of the pretrained one, how many of the last learn.
    depth_decay: of --fine_tune, what the rate of each third of the blocks towards the image is multiplied by.
    average_decay: of the moving average of the weights, a step; 0 for none.
    device: one of :data:`legoclf.retrain.networks.devices.DEVICES`.
    checkpoint_dir, checkpoint_every, resume: see Checkpoints.
    """

    architecture: str = PRETRAINED
    fine_tune: bool = False
    blocks: int | None = None
    optimizer: str | None = None
    momentum: float | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    epochs: int | None = None
    patience: int | None = None
    label_smoothing: float | None = None
    depth_decay: float | None = None
    average_decay: float | None = None
    device: str = "auto"
    checkpoint_dir: Path | None = None
    checkpoint_every: int = 1
    resume: str | None = None

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise UsageError(f"--architecture {self.architecture}: expected {', '.join(ARCHITECTURES)}")
        if self.from_scratch and self.fine_tune:
            raise UsageError(
                f"--fine_tune goes on from a pretrained network, and {self.architecture} is trained from "
                "scratch; leave one of them out"
            )
        if not self.learns:
            self._refuse_all()
        if self.fine_tune and (self.optimizer or self.momentum):
            raise UsageError("--fine_tune has its own optimizer, Adam: leave --optimizer and --momentum out")
        check_range("--label_smoothing", self.label_smoothing or 0.0, 0.0, 0.9)
        if self.from_scratch and self.depth_decay is not None:
            raise UsageError("--depth_decay goes with --fine_tune; leave it out")
        check_range("--depth_decay", 1.0 if self.depth_decay is None else self.depth_decay, 0.0, 1.0)
        check_range("--average_decay", self.average_decay or 0.0, 0.0, 0.99999)
        if self.learns:
            # Ranges are theirs to check, and before any work is done.
            _ = self.of_fine_tuning() if self.fine_tune else self.of_scratch()

    @property
    def name(self) -> str:
        """What is trained, as people read it."""
        return "fine_tune" if self.fine_tune else self.architecture

    @property
    def from_scratch(self) -> bool:
        """Whether it is a small network."""
        return self.architecture != PRETRAINED

    @property
    def learns(self) -> bool:
        """Whether any weights but those of a head on frozen features learn."""
        return self.from_scratch or self.fine_tune

    def of_scratch(self) -> ScratchSettings:
        """The settings of a small network."""
        return scratch_settings(
            self.architecture, **self._given(), optimizer=self.optimizer, momentum=self.momentum
        )

    def of_fine_tuning(self) -> FineTuneSettings:
        """The settings of fine-tuning."""
        return FineTuneSettings(**self._given())

    def _given(self) -> dict[str, Any]:
        names = ("blocks", "learning_rate", "batch_size", "epochs", "patience", "label_smoothing")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.fine_tune and self.depth_decay is not None:
            given["depth_decay"] = self.depth_decay
        if self.average_decay is not None:
            given["average_decay"] = self.average_decay or None
        return given

    def _refuse_all(self) -> None:
        """A head on frozen features takes none of these; saying nothing would promise something."""
        own = (
            "blocks", "optimizer", "momentum", "epochs", "patience", "label_smoothing", "depth_decay",
            "average_decay", "checkpoint_dir", "resume",
        )  # fmt: skip
        for name in own:
            if getattr(self, name) is not None:
                raise UsageError(
                    f"--{name} is for networks that learn as a whole: add --fine_tune or --architecture "
                    f"{' or '.join(ARCHITECTURES[1:])}, or leave it out"
                )
