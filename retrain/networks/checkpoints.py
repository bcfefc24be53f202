"""Checkpoints of a training: weights after every epoch, and every few epochs all that decides how it goes on.

A state is arrays in an .npz, without pickles. Whatever is resumed from a state goes on as if it had never
stopped, to the bit; from weights alone it goes on with a fresh optimizer.
"""

import json
import logging
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np

from legoclf.errors import LegoclfError, UsageError
from legoclf.retrain.heads import Evaluation
from legoclf.retrain.networks.loop import Loop

LOGGER = logging.getLogger(__name__)

WEIGHTS_SUFFIX = ".weights.h5"
MODEL_SUFFIX = ".keras"
STATE_SUFFIX = ".state.npz"
SUFFIXES = (WEIGHTS_SUFFIX, MODEL_SUFFIX, STATE_SUFFIX)

LATEST = "latest"

_EPOCH = re.compile(r"epoch_(\d+)$")

#: What zipfile, NumPy and JSON raise of a file that is cut short or has changed.
_DAMAGE = (OSError, ValueError, KeyError, EOFError, IndexError, TypeError, zipfile.BadZipFile, zlib.error)


@dataclass
class Course:
    """How far a training has come.

    epoch: how many are done. evaluations: one of each, of those that are known.
    best_epoch: 0 for none yet. best_loss: the validation cross entropy of that epoch, in nats.
    best_weights: of the network, then.
    """

    epoch: int = 0
    evaluations: list[Evaluation] = field(default_factory=list)
    best_epoch: int = 0
    best_loss: float = np.inf
    best_weights: list[np.ndarray] = field(default_factory=list)
    interrupted: bool = False

    def consider(self, epoch: int, loss: float | None, weights: Callable[[], list[np.ndarray]]) -> None:
        """Take weights as the best if they are, or if there is no validation image to tell by."""
        if not self.best_weights or loss is None or loss < self.best_loss:
            self.best_epoch, self.best_weights = epoch, weights()
            self.best_loss = np.inf if loss is None else loss


class Checkpoints:
    """The checkpoints of one training: where they go, and which one it resumes from.

    Args:
        folder: where they are written; None for nowhere.
        every: epochs from one state, and one whole model, to the next.
        resume: a checkpoint's file, a folder of them, ``latest`` for the newest in ``folder``, or None.
        facts: what must be the same for a state to be of this training: names and values, as JSON has them.
    """

    def __init__(
        self, folder: Path | None, every: int = 1, resume: str | None = None, facts: Mapping[str, object] = {}
    ) -> None:
        if every < 1:
            raise UsageError(f"--checkpoint_every: got {every}, expected 1 or more")
        self.folder = folder
        self.every = every
        self.facts = json.loads(json.dumps(facts))
        self.source = _source(folder, resume)
        if folder is not None:
            _prepare(folder, self.source)

    def start(self, loop: Loop) -> Course:
        """Where the training begins: at its first epoch, or where the checkpoint left it.

        Raises:
            LegoclfError: the checkpoint is damaged, or of another training.
        """
        if self.source is None:
            return Course()
        stem, suffix = _split(self.source)
        state = self.source if suffix == STATE_SUFFIX else self.source.with_name(stem + STATE_SUFFIX)
        if state.exists():
            course = self._restore(state, loop)
            LOGGER.info("Resuming after epoch %d, from %s.", course.epoch, state)
            return course
        return _load_weights(self.source, loop)

    def save(self, loop: Loop, course: Course) -> None:
        """Write the weights of the epoch that ended, and the model and the state if it is their turn.

        What cannot be written is warned of: the training is worth more than its checkpoint.
        """
        if self.folder is None:
            return
        stem = f"epoch_{course.epoch:04d}"
        model = loop.model
        try:
            self._write(stem + WEIGHTS_SUFFIX, lambda path: model.save_weights(path, overwrite=True))
            if course.epoch % self.every == 0:
                self._write(stem + MODEL_SUFFIX, lambda path: model.save(path, overwrite=True))
                arrays = self._arrays(loop, course)
                self._write(stem + STATE_SUFFIX, lambda path: np.savez(path, allow_pickle=False, **arrays))
        except (OSError, RuntimeError) as error:  # RuntimeError: h5py's, of a full disk
            LOGGER.warning("warning: the checkpoint of epoch %d cannot be written: %s", course.epoch, error)

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        assert self.folder is not None
        # Keras and NumPy go by the end of the name.
        beside = self.folder / f".new-{name}"
        try:
            write(beside)
            os.replace(beside, self.folder / name)
        finally:
            beside.unlink(missing_ok=True)

    def _arrays(self, loop: Loop, course: Course) -> dict[str, np.ndarray]:
        known = [astuple(evaluation) for evaluation in course.evaluations]
        return {
            "facts": np.array(json.dumps(self.facts, sort_keys=True)),
            "epoch": np.array([course.epoch, course.best_epoch]),
            "best_loss": np.array(course.best_loss, np.float64),
            # None becomes NaN.
            "evaluations": np.array(known, np.float64),
            **_numbered("best", course.best_weights),
            **_numbered("state", loop.state()),
        }

    def _restore(self, path: Path, loop: Loop) -> Course:
        try:
            with np.load(path, allow_pickle=False) as arrays:
                facts = json.loads(str(arrays["facts"]))
                epoch, best_epoch = arrays["epoch"].tolist()
                course = Course(
                    epoch=epoch,
                    evaluations=[_evaluation(row) for row in arrays["evaluations"].tolist()],
                    best_epoch=best_epoch,
                    best_loss=float(arrays["best_loss"]),
                    best_weights=_series(arrays, "best"),
                )
                state = _series(arrays, "state")
        except _DAMAGE as error:
            raise _damaged(path, error) from error
        self._check(path, facts)
        try:
            loop.restore(state)
        except (LegoclfError, IndexError) as error:
            raise LegoclfError(f"--resume {path}: {error}") from error
        return course

    def _check(self, path: Path, facts: Mapping[str, object]) -> None:
        for name in sorted(self.facts.keys() | facts.keys()):
            theirs, ours = facts.get(name), self.facts.get(name)
            if theirs != ours:
                raise UsageError(
                    f"--resume {path}: it was trained with {name} {theirs}, and this run has {ours}; "
                    "run with the same"
                )


def _source(folder: Path | None, resume: str | None) -> Path | None:
    """The file to resume from."""
    if resume is None:
        return None
    if resume == LATEST:
        if folder is None:
            raise UsageError(f"--resume {LATEST}: the newest of which folder? pass --checkpoint_dir too")
        resume = str(folder)
    path = Path(resume)
    if path.is_dir():
        return _newest(path)
    if not path.is_file():
        raise UsageError(f"--resume {resume}: no such file or folder")
    if not path.name.endswith(SUFFIXES):
        raise UsageError(f"--resume {resume}: expected a file *{', *'.join(SUFFIXES)}, a folder or {LATEST}")
    return path


def _newest(folder: Path) -> Path:
    """The newest state of a folder; where it has none, its newest weights."""
    for suffix in (STATE_SUFFIX, WEIGHTS_SUFFIX, MODEL_SUFFIX):
        found = {_epoch_of(path): path for path in folder.glob(f"epoch_*{suffix}")}
        if found:
            return found[max(found)]
    raise UsageError(f"--resume {folder}: there is no checkpoint (epoch_*{STATE_SUFFIX}) in it")


def _prepare(folder: Path, source: Path | None) -> None:
    """Make the folder; refuse one with checkpoints that are not being resumed from."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LegoclfError(f"--checkpoint_dir {folder}: {error.strerror or error}") from error
    if not os.access(folder, os.W_OK):
        raise LegoclfError(f"--checkpoint_dir {folder}: it cannot be written to")
    there = sorted(path.name for path in folder.glob("epoch_*") if path.name.endswith(SUFFIXES))
    if there and (source is None or source.resolve().parent != folder.resolve()):
        raise UsageError(
            f"--checkpoint_dir {folder}: it has {there[-1]} of another run; pass --resume {LATEST} to go on "
            "with that, or another folder"
        )


def _load_weights(path: Path, loop: Loop) -> Course:
    """Go on from weights alone; epochs count on from the one in the file's name."""
    try:
        loop.load_weights(path)
    except Exception as error:
        # Whatever h5py, zipfile and Keras' layers raise of a damaged file, or of another network's.
        raise _damaged(path, error, " or of another network") from error
    epoch = _epoch_of(path)
    LOGGER.warning(
        "warning: %s has weights and no state: the optimizer starts afresh, at epoch %d", path, epoch + 1
    )
    return Course(epoch=epoch)


def _split(path: Path) -> tuple[str, str]:
    suffix = next(suffix for suffix in SUFFIXES if path.name.endswith(suffix))
    return path.name.removesuffix(suffix), suffix


def _epoch_of(path: Path) -> int:
    found = _EPOCH.search(_split(path)[0])
    return int(found[1]) if found else 0


def _evaluation(row: list[float]) -> Evaluation:
    step, train_accuracy, train_loss, *rest = row
    return Evaluation(
        int(step), train_accuracy, train_loss, *(None if np.isnan(value) else value for value in rest)
    )


def _numbered(name: str, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{name}_{index:04d}": array for index, array in enumerate(arrays)}


def _series(arrays: Mapping[str, np.ndarray], name: str) -> list[np.ndarray]:
    return [arrays[key] for key in sorted(key for key in arrays if key.startswith(f"{name}_0"))]


def _damaged(path: Path, error: Exception, more: str = "") -> LegoclfError:
    cause = " ".join(str(error).split())[:160] or type(error).__name__
    return LegoclfError(f"--resume {path}: it is damaged{more} ({cause}); resume from another checkpoint")
