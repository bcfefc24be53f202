"""Features on disk, so that a second run, or one that was interrupted, does not extract them again.

A row is found by what it was made from: the image's content, the module, the contract, the engine
and the view. So a stale row cannot be read. Rows lie in shards of many, each written to a temporary
file and renamed, never changed afterwards.
"""

import hashlib
import json
import logging
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from legoclf.errors import LegoclfError

LOGGER = logging.getLogger(__name__)

#: A shard is written as soon as so many rows wait: what a killed run loses at most.
SHARD_ROWS = 512


def row_key(content_sha256: str, view: str) -> bytes:
    """The 20 bytes under which a row is kept: of the image's content and the view's description."""
    return hashlib.sha256(f"{content_sha256}/{view}".encode()).digest()[:20]


class FeatureCache:
    """Rows of one module, contract and engine; a context manager that writes what waits at its end.

    Args:
        directory: the folder of all caches (``--bottleneck_dir``).
        made_with: what the features depend on beside the image: JSON values, by name.
        feature_size: length of a row.

    Not thread-safe: one thread reads and adds.
    """

    def __init__(self, directory: Path, made_with: Mapping[str, object], feature_size: int) -> None:
        description = json.dumps(made_with, sort_keys=True)
        self.directory = directory / hashlib.sha256(description.encode()).hexdigest()[:32]
        self.feature_size = feature_size
        self._rows: dict[bytes, np.ndarray] = {}
        self._waiting: dict[bytes, np.ndarray] = {}

    def __enter__(self) -> "FeatureCache":
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LegoclfError(
                f"{self.directory}: cannot be written ({error.strerror}); name another --bottleneck_dir"
            ) from error
        for path in sorted(self.directory.glob("*.npz")):
            self._rows.update(self._read_shard(path))
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.flush()

    def __contains__(self, key: bytes) -> bool:
        return key in self._rows

    def __getitem__(self, key: bytes) -> np.ndarray:
        """The row float32 [D] under a key; KeyError if there is none."""
        return self._rows[key]

    def add(self, key: bytes, row: np.ndarray) -> None:
        """Keep a row float32 [D]; it reaches the disk with the next full shard."""
        self._rows[key] = self._waiting[key] = row
        if len(self._waiting) >= SHARD_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write the waiting rows as one shard."""
        if not self._waiting:
            return
        keys = np.frombuffer(b"".join(self._waiting), np.uint8).reshape(-1, 20)
        name = hashlib.sha256(keys.tobytes()).hexdigest()[:24]
        temporary = self.directory / f".{name}.{os.getpid()}.tmp"
        with temporary.open("wb") as stream:
            np.savez(stream, keys=keys, rows=np.stack(list(self._waiting.values())))
        os.replace(temporary, self.directory / f"{name}.npz")
        self._waiting = {}

    def _read_shard(self, path: Path) -> dict[bytes, np.ndarray]:
        try:
            with np.load(path, allow_pickle=False) as shard:
                keys, rows = shard["keys"], shard["rows"]
            if rows.dtype != np.float32 or rows.shape != (len(keys), self.feature_size):
                raise ValueError(f"holds {rows.dtype} {list(rows.shape)}")
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            LOGGER.warning("%s: damaged (%s); its features are extracted again", path, error)
            return {}
        return {key.tobytes(): row for key, row in zip(keys, rows, strict=True)}
