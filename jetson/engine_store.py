"""Engines inside a bundle: ``engines/<key>.engine`` with a sidecar ``<key>.json``.

An engine is native code for one GPU and one TensorRT. It is loaded only where its sidecar knows its
hash and every fact of the machine is the one it was built on; otherwise the refusal says what differs.
"""

import json
import os
import tempfile
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from legoclf.bundle import read_model_json
from legoclf.bundle_writer import remove_leftovers
from legoclf.errors import LegoclfError
from legoclf.jetson.engine_identity import (
    KEY_LENGTH,
    EngineIdentity,
    Machine,
    differences,
    identity_from_json,
)
from legoclf.jetson.engine_sidecar import SIDECAR_VERSION, Sidecar, read_sidecar, sha256_bytes

ENGINES = "engines"

#: Temporary files are ``.engine.<process id>.<random>.tmp``.
_TEMPORARY = "engine"


class EngineRefused(LegoclfError):  # noqa: N818
    """An engine that is not loaded: damaged, unknown, or built for something else.

    ``reason`` is the message without its mend, a command to run.
    """

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__("{}; {}".format(reason, mend))
        self.reason = reason


class EngineMissing(EngineRefused):
    """There is no engine that was meant for this."""


class StoredEngine(NamedTuple):
    """An engine in a bundle, by its sidecar; :func:`read_plan` reads it.

    record: what else the sidecar knows: ``date``, ``onnx_file``, ``notes``, ``timing``,
        ``verification``, ``chosen``.
    """

    bundle_path: str
    identity: EngineIdentity
    sha256: str
    size: int
    record: Dict[str, Any]

    @property
    def key(self) -> str:
        """The name of its files."""
        return self.identity.key

    @property
    def path(self) -> str:
        """The engine's file."""
        return os.path.join(self.bundle_path, ENGINES, self.key + ".engine")


def list_engines(bundle_path: str) -> Tuple[List[StoredEngine], List[str]]:
    """The engines of a bundle in the order of their keys, and for each one refused the reason."""
    folder = os.path.join(bundle_path, ENGINES)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    engines, refusals = [], []
    for name in names:
        stem, extension = os.path.splitext(name)
        if name.startswith(".") or extension not in (".engine", ".json"):
            continue
        if extension == ".engine" and stem + ".json" not in names:
            refusals.append(
                "{}: has no sidecar {}.json, and an engine is native code, so not loaded".format(
                    os.path.join(folder, name), stem
                )
            )
        elif extension == ".json" and stem + ".engine" in names:
            try:
                engines.append(_stored(bundle_path, stem))
            except EngineRefused as error:
                refusals.append(error.reason)
    return engines, refusals


def find_engine(bundle_path: str, identity: EngineIdentity) -> StoredEngine:
    """The engine with that identity, its file checked.

    Raises:
        EngineMissing: there is none of this precision.
        EngineRefused: one is there, but its file or sidecar is damaged, or a field differs. The
            message names the fields (from -> to) and the command that builds it anew.
    """
    engines, refusals = list_engines(bundle_path)
    fitting = [engine for engine in engines if not differences(engine.identity, identity)]
    if fitting:
        exact = [engine for engine in fitting if engine.key == identity.key]
        engine = (exact or fitting)[0]
        read_plan(engine)
        return engine
    mend = build_command(bundle_path, identity.precision)
    same = [engine for engine in engines if engine.identity.precision == identity.precision]
    raise _refusal(bundle_path, [(engine, identity) for engine in same], refusals, mend)


def choose_engine(bundle_path: str, here: Machine, precision: Optional[str] = None) -> StoredEngine:
    """The engine to run on this machine: the one marked as chosen, else the only one that fits.

    One that failed its verification is never given.

    Args:
        precision: only engines of this one; None for any.

    Raises:
        EngineRefused: none fits (the message says why, as in :func:`find_engine`), or several do and
            none is marked.
    """
    engines, refusals = list_engines(bundle_path)
    hashes = {
        name: entry.get("sha256", "")
        for name, entry in (read_model_json(bundle_path).get("files") or {}).items()
        if name.endswith(".onnx")
    }
    wanted = [
        (engine, _needed(engine, here, hashes))
        for engine in engines
        if precision in (None, engine.identity.precision)
    ]
    same = [engine for engine, needed in wanted if not differences(engine.identity, needed)]
    fitting = [engine for engine in same if not has_failed(engine)]
    chosen = [engine for engine in fitting if engine.record.get("chosen")]
    mend = build_command(bundle_path, precision)
    if len(chosen or fitting) == 1:
        engine = (chosen or fitting)[0]
        read_plan(engine)
        return engine
    if fitting:
        kinds = ", ".join("{} {}".format(engine.identity.precision, engine.key) for engine in fitting)
        raise EngineRefused(
            "{}: several engines fit this machine ({}) and none is marked".format(bundle_path, kinds), mend
        )
    if same:
        raise EngineRefused(same[0].path + ": failed its verification", build_command(bundle_path))
    raise _refusal(bundle_path, wanted, refusals, mend)


def has_failed(engine: StoredEngine) -> bool:
    """Whether the engine was verified and gave other answers than the ONNX graph."""
    verification = engine.record.get("verification")
    return isinstance(verification, dict) and verification.get("passed") is not True


def read_plan(engine: StoredEngine) -> bytes:
    """The engine's content, once its size and hash are found to be the sidecar's.

    Raises:
        EngineRefused: they differ, or it cannot be read.
    """
    mend = build_command(engine.bundle_path, engine.identity.precision)
    try:
        if os.path.islink(engine.path):
            raise EngineRefused("{}: is a link, so not loaded".format(engine.path), mend)
        with open(engine.path, "rb") as stream:
            same_size = os.fstat(stream.fileno()).st_size == engine.size
            plan = stream.read() if same_size else b""
    except OSError as error:
        raise EngineRefused("{}: {}".format(engine.path, error.strerror), mend) from error
    if sha256_bytes(plan) != engine.sha256:
        raise EngineRefused(
            "{}: damaged or exchanged: not what its sidecar {}.json says, so not loaded".format(
                engine.path, engine.key
            ),
            mend,
        )
    return plan


def save_engine(
    bundle_path: str, identity: EngineIdentity, plan: bytes, record: Mapping[str, Any]
) -> StoredEngine:
    """Write an engine and its sidecar, each whole or not at all; the engine first.

    Raises:
        LegoclfError: it cannot be written; nothing of it is left.
    """
    with_date = dict(record, date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    engine = StoredEngine(bundle_path, identity, sha256_bytes(plan), len(plan), with_date)
    _write(bundle_path, engine.key + ".engine", plan)
    update_record(engine, {})
    return engine


def update_record(engine: StoredEngine, changes: Mapping[str, Any]) -> StoredEngine:
    """Write fields of the sidecar's record anew; the others stay."""
    changed = engine._replace(record=dict(engine.record, **changes))
    sidecar = {
        "format_version": SIDECAR_VERSION,
        "engine": {"file": changed.key + ".engine", "sha256": changed.sha256, "size": changed.size},
        "identity": changed.identity._asdict(),
        "record": changed.record,
    }
    text = json.dumps(sidecar, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    _write(engine.bundle_path, engine.key + ".json", text.encode("utf-8"))
    return changed


def mark_chosen(engine: StoredEngine, here: Machine) -> StoredEngine:
    """Make this the engine that :func:`choose_engine` gives on this machine."""
    for other in list_engines(engine.bundle_path)[0]:
        # Those of other machines keep their mark: the bundle travels.
        fits_here = not differences(other.identity, other.identity.on(here))
        if other.key != engine.key and fits_here and other.record.get("chosen"):
            update_record(other, {"chosen": False})
    return update_record(engine, {"chosen": True})


def temporary_file(bundle_path: str) -> str:
    """An empty file beside the engines, for a build to write to; leftovers of killed ones are removed.

    Raises:
        LegoclfError: the bundle cannot be written to.
    """
    folder = os.path.join(bundle_path, ENGINES)
    try:
        os.makedirs(folder, exist_ok=True)
        remove_leftovers(os.path.join(folder, _TEMPORARY))
        prefix = ".{}.{}.".format(_TEMPORARY, os.getpid())
        descriptor, path = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    os.close(descriptor)
    return path


def build_command(bundle_path: str, precision: Optional[str] = None) -> str:
    """The command that builds an engine, as a mend in a message."""
    flag = " --precision " + precision if precision else ""
    return "run `legoclf build-engine {}{} --rebuild auto` here".format(bundle_path, flag)


def _write(bundle_path: str, name: str, content: bytes) -> None:
    target = os.path.join(bundle_path, ENGINES, name)
    path = temporary_file(bundle_path)
    try:
        with open(path, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(path, os.stat(os.path.join(bundle_path, ENGINES)).st_mode & 0o666)
        os.replace(path, target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        if os.path.exists(path):
            os.unlink(path)


def _unwritable(path: str, error: OSError) -> LegoclfError:
    return LegoclfError(
        "{}: cannot be written: {}; free some space or make the bundle writable".format(path, error.strerror)
    )


def _stored(bundle_path: str, key: str) -> StoredEngine:
    path = os.path.join(bundle_path, ENGINES, key + ".json")
    try:
        sidecar: Sidecar = read_sidecar(path)
        identity = identity_from_json(sidecar.identity)
        if len(key) != KEY_LENGTH or key != identity.key:
            raise ValueError("its fields are not those its name is the hash of; was it edited by hand?")
        if sidecar.file != key + ".engine":
            raise ValueError("engine.file: got {!r}, expected {!r}".format(sidecar.file, key + ".engine"))
    except ValueError as error:
        reason = "{}: {}: its engine is not loaded".format(path, error)
        raise EngineRefused(reason, build_command(bundle_path)) from error
    return StoredEngine(bundle_path, identity, sidecar.sha256, sidecar.size, sidecar.record)


def _needed(engine: StoredEngine, here: Machine, hashes: Mapping[str, str]) -> EngineIdentity:
    """What the engine's identity must be to run on this machine with the bundle as it is."""
    onnx = hashes.get(engine.record.get("onnx_file", ""), "")
    return engine.identity.on(here)._replace(onnx_sha256=onnx)


def _refusal(
    bundle_path: str,
    wanted: List[Tuple[StoredEngine, EngineIdentity]],
    refusals: List[str],
    mend: str,
) -> EngineRefused:
    """Why none of the engines fits: the nearest one's differences, else what is wrong with the files."""
    if wanted:
        engine, needed = min(wanted, key=lambda pair: len(differences(pair[0].identity, pair[1])))
        changed = ", ".join(str(each) for each in differences(engine.identity, needed))
        return EngineRefused("{}: not for this: {}".format(engine.path, changed), mend)
    if refusals:
        return EngineRefused("; ".join(refusals), mend)
    return EngineMissing("{}: holds no engine for this machine".format(bundle_path), mend)
