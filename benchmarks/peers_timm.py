"""A linear probe on timm's MobileNetV2: another checkpoint of the same network, in PyTorch."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from legoclf.benchmarks.peers_task import Contender, Samples, Task, pooled
from legoclf.errors import LegoclfError
from legoclf.retrain.cross_validate import Pooled
from legoclf.retrain.heads import Features
from legoclf.retrain.lbfgs import train_lbfgs
from legoclf.split import SPLITS, TEST, TRAIN, VALIDATION

MODEL = "mobilenetv2_100"
PASSES = f"timm {MODEL}"

_BATCH_SIZE = 32


class TimmProbe(Contender):
    """Features of plain images by timm, and legoclf's default head on them.

    Args:
        checkpoint: a file of its weights; None for those that an earlier download has left on this machine.
        seconds: of a turn, about.

    Raises:
        LegoclfError: timm is not installed, or there are no weights; nothing is downloaded.
    """

    def __init__(self, task: Task, checkpoint: Path | None, seconds: float) -> None:
        # Read when huggingface_hub is imported.
        os.environ["HF_HUB_OFFLINE"] = "1"
        try:
            import timm
            import torch
        except ImportError as error:
            raise LegoclfError("timm is not installed: pip install timm") from error
        try:
            weights = {"checkpoint_path": str(checkpoint)} if checkpoint else {"pretrained": True}
            model: Any = timm.create_model(MODEL, **weights)
        except (OSError, RuntimeError) as error:
            why = f"{checkpoint} cannot be loaded" if checkpoint else "no weights of it on this machine"
            raise LegoclfError(f"timm {MODEL}: {why}; give --timm_checkpoint FILE") from error
        model.reset_classifier(0)
        self._model = model.eval()
        self._torch: Any = torch
        self._transform: Any = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
        self._task = task
        paths = [item.path for item in task.items(TRAIN)]
        self._features(paths[:_BATCH_SIZE])
        start = time.perf_counter()
        self._features(paths[:_BATCH_SIZE])
        batches = max(1, int(seconds / (time.perf_counter() - start)))
        self._paths = paths[: batches * _BATCH_SIZE]
        source = checkpoint.name if checkpoint else "pretrained"
        self.note = (
            f"timm {timm.__version__} {MODEL} ({source}), torch {torch.__version__}: plain images only"
        )

    def turn(self) -> Samples:
        """See :class:`Contender`."""
        start = time.perf_counter()
        self._features(self._paths)
        return {PASSES: ("1/s", len(self._paths) / (time.perf_counter() - start))}

    def answers(self) -> Pooled:
        """See :class:`Contender`."""
        found = {}
        for split in SPLITS:
            items = self._task.items(split)
            labels = np.array([item.label_index for item in items], np.int64)
            found[split] = Features(self._features([item.path for item in items]), labels)
        head = train_lbfgs(found[TRAIN], found[VALIDATION], self._task.classes)
        return pooled(f"timm {MODEL}", head.logits(found[TEST].rows), found[TEST].labels)

    def _features(self, paths: list[str]) -> np.ndarray:
        """float32 [N, D] of image files, read as timm's own transform does it."""
        from PIL import Image

        rows = [np.zeros((0, self._model.num_features), np.float32)]
        with self._torch.inference_mode():
            for start in range(0, len(paths), _BATCH_SIZE):
                images = [Image.open(path).convert("RGB") for path in paths[start : start + _BATCH_SIZE]]
                batch = self._torch.stack([self._transform(image) for image in images])
                rows.append(self._model(batch).numpy())
        return np.concatenate(rows)
