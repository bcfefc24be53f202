"""Features on disk, so that a second run, or one that was interrupted, does not extract them again.

A row is found by what it was made from: the image's content, the module, the contract, the engine
and the view. So a stale row cannot be read. Rows lie in shards of many, each written to a temporary
file and renamed, never changed afterwards, and named by the SHA-256 of its bytes, which is checked.

In memory is an index alone: a run over any number of images needs as much as one over a few.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from legoclf.bundle import sha256_file
from legoclf.bundle_writer import process_runs
from legoclf.errors import LegoclfError

LOGGER = logging.getLogger(__name__)

#: A shard is written as soon as so many rows wait: what a killed run loses at most.
SHARD_ROWS = 512

KEY_BYTES = 20
_FOLDER_NAME = re.compile(r"[0-9a-f]{32}")
_SHARD_NAME = re.compile(r"[0-9a-f]{64}\.npy")
_TEMPORARY_NAME = re.compile(r"\.[0-9a-f]{64}\.(\d+)\.tmp")


def row_key(content_sha256: str, view: str) -> bytes:
    """The 20 bytes under which a row is kept: of the image's content and the view's description."""
    return hashlib.sha256(f"{content_sha256}/{view}".encode()).digest()[:KEY_BYTES]


class FeatureCache:
    """Rows of one module, contract and engine; a context manager that writes what waits at its end.

    Args:
        directory: the folder of all caches (``--bottleneck_dir``).
        made_with: what the features depend on beside the image: JSON values, by name.
        feature_size: D, the length of a row.
        most_bytes: what the shards of all caches in ``directory`` may take; the ones not used for
            longest go first. None for no limit.

    One thread adds and reads; others may meanwhile ask what it holds.
    """

    def __init__(
        self,
        directory: Path,
        made_with: Mapping[str, object],
        feature_size: int,
        most_bytes: int | None = None,
    ) -> None:
        description = json.dumps(made_with, sort_keys=True)
        self.directory = directory / hashlib.sha256(description.encode()).hexdigest()[:32]
        self.most_bytes = most_bytes
        self._layout = np.dtype([("key", f"V{KEY_BYTES}"), ("row", "<f4", (feature_size,))])
        self._shards: list[Path] = []
        self._place: dict[bytes, tuple[int, int]] = {}
        self._waiting: dict[bytes, np.ndarray] = {}

    def __enter__(self) -> "FeatureCache":
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            if not os.access(self.directory, os.W_OK):
                raise PermissionError(0, "no permission to write")
        except OSError as error:
            raise LegoclfError(
                f"{self.directory}: cannot be written ({error.strerror}); name another --bottleneck_dir"
            ) from error
        for path in sorted(self.directory.iterdir()):
            if _SHARD_NAME.fullmatch(path.name):
                self._index_shard(path)
            elif (match := _TEMPORARY_NAME.fullmatch(path.name)) and not process_runs(int(match[1])):
                path.unlink(missing_ok=True)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.flush()
        self._evict(spared=None)

    def __contains__(self, key: bytes) -> bool:
        return key in self._place or key in self._waiting

    def add(self, key: bytes, row: np.ndarray) -> None:
        """Keep a row float32 [D]; it reaches the disk with the next full shard."""
        if key in self:
            return
        self._waiting[key] = row
        if len(self._waiting) >= SHARD_ROWS:
            self.flush()

    def rows(self, keys: Sequence[bytes]) -> np.ndarray:
        """The rows under keys, float32 [N, D].

        Raises:
            KeyError: there is no row under a key.
            LegoclfError: another run has evicted a shard meanwhile.
        """
        found = np.empty((len(keys), *self._layout["row"].shape), np.float32)
        wanted: dict[int, list[tuple[int, int]]] = {}
        for target, key in enumerate(keys):
            if key in self._waiting:
                found[target] = self._waiting[key]
            else:
                shard, source = self._place[key]
                wanted.setdefault(shard, []).append((target, source))
        for shard, pairs in wanted.items():
            targets, sources = np.array(pairs).T
            found[targets] = self._read(self._shards[shard])[sources]
        return found

    def flush(self) -> None:
        """Write the waiting rows as one shard."""
        if not self._waiting:
            return
        shard = np.empty(len(self._waiting), self._layout)
        shard["key"] = [np.void(key) for key in self._waiting]
        shard["row"] = list(self._waiting.values())
        stream = BytesIO()
        np.save(stream, shard, allow_pickle=False)
        digest = hashlib.sha256(stream.getbuffer()).hexdigest()
        temporary = self.directory / f".{digest}.{os.getpid()}.tmp"
        path = self.directory / f"{digest}.npy"
        try:
            temporary.write_bytes(stream.getbuffer())
            os.replace(temporary, path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise LegoclfError(
                f"{self.directory}: cannot be written ({error.strerror}); make room, or name another "
                "--bottleneck_dir"
            ) from error
        self._take(path, list(self._waiting))
        self._waiting = {}
        self._evict(spared=self.directory)

    def _index_shard(self, path: Path) -> None:
        """Note the keys of a shard; a damaged one, which is this cache's own, is removed."""
        try:
            if sha256_file(str(path)) != path.stem:
                raise ValueError("its bytes have changed")
            shard = np.load(path, mmap_mode="r", allow_pickle=False)
            if shard.dtype != self._layout:
                raise ValueError("holds features of another size")
        except (OSError, ValueError, EOFError) as error:
            LOGGER.warning("%s: damaged (%s); its features are extracted again", path, error)
            path.unlink(missing_ok=True)
            return
        self._take(path, [key.tobytes() for key in shard["key"]])

    def _take(self, path: Path, keys: list[bytes]) -> None:
        self._place.update((key, (len(self._shards), row)) for row, key in enumerate(keys))
        self._shards.append(path)

    def _read(self, path: Path) -> np.ndarray:
        """The rows of a shard, [N, D], mapped from the file, which counts as used now."""
        try:
            os.utime(path)
            rows: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)["row"]
        except OSError as error:
            raise LegoclfError(
                f"{path}: gone ({error.strerror}), evicted by another run; give each its own "
                "--bottleneck_dir, or raise --bottleneck_size_gb"
            ) from error
        return rows

    def _evict(self, spared: Path | None) -> None:
        """Remove the shards that were not used for longest until the others fit; ``spared`` keeps its own."""
        if self.most_bytes is None:
            return
        found = []
        for folder in self.directory.parent.iterdir():
            if _FOLDER_NAME.fullmatch(folder.name) and folder.is_dir():
                found += [
                    (path.stat(), path) for path in folder.iterdir() if _SHARD_NAME.fullmatch(path.name)
                ]
        total = sum(status.st_size for status, _ in found)
        for status, path in sorted(found, key=lambda each: (each[0].st_mtime_ns, each[1])):
            if total <= self.most_bytes:
                return
            if path.parent != spared:
                path.unlink(missing_ok=True)
                total -= status.st_size
                LOGGER.debug("%s: evicted", path)
