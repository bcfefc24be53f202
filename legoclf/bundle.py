"""The bundle: one directory that holds a trained model and all that is needed to use it right.

docs/bundle.md is the numbered specification. A bundle is written whole or not at all
(:mod:`legoclf.bundle_writer`), and read only through :meth:`Bundle.open`, which checks its schema,
the size and the SHA-256 of every file. Nothing in it is pickled.
"""

import hashlib
import json
import os
from typing import Any, Dict, List, NamedTuple, Optional, cast

from legoclf.contract import InputContract
from legoclf.errors import BundleError, ContractError, UsageError
from legoclf.novelty import NoveltyRule

FORMAT_VERSION = 1
MODEL_FILE = "model.json"
LABELS_FILE = "labels.txt"
FROZEN_GRAPH = "frozen_graph.pb"
ONNX_MODEL = "model.onnx"
FP16_MODEL = "model.fp16.onnx"
INT8_MODEL = "model.int8.onnx"
JETSON_INFERENCE_MODEL = "model.jetson-inference.onnx"
GOLDEN_FILE = "golden.npz"
SAVED_MODEL = "saved_model"
REPORT = "report"


class FileRecord(NamedTuple):
    """What model.json says of one file: its SHA-256 in hex and its size in bytes."""

    sha256: str
    size: int


class Bundle(NamedTuple):
    """A bundle that was opened and found whole. Make one with :meth:`open`.

    novelty: the rule for the graphs' output of that name; None where model.json has none. It is a field that
        format 1 may have: a legoclf that does not know it reads the bundle too, and names everything.
    """

    path: str
    labels: List[str]
    contract: InputContract
    metrics: Dict[str, Any]
    provenance: Dict[str, Any]
    files: Dict[str, FileRecord]
    novelty: Optional[NoveltyRule] = None

    @classmethod
    def open(cls, path: str) -> "Bundle":
        """Open a bundle and check it.

        Raises:
            BundleError: it is no bundle, its format is unknown, a field is wrong, or a file is
                missing or differs from its hash. The message names the file and the field.
        """
        record = read_model_json(path)
        _check_format(path, record)
        labels = _check_labels(path, record.get("labels"))
        try:
            contract = InputContract.from_json(record.get("input"))
        except ContractError as error:
            raise _refusal(path, str(error)) from error
        novelty = _check_novelty(path, record.get("novelty"))
        files = _check_file_records(path, record.get("files"))
        for name in ("metrics", "provenance"):
            if not isinstance(record.get(name), dict):
                raise _refusal(path, "{}: expected an object".format(name))
        for name, expected in files.items():
            _check_file(path, name, expected)
        if read_labels(os.path.join(path, LABELS_FILE)) != labels:
            raise BundleError("{}: {} and the labels of {} differ".format(path, LABELS_FILE, MODEL_FILE))
        return cls(path, labels, contract, record["metrics"], record["provenance"], files, novelty)

    def file(self, name: str) -> str:
        """Path of a file of this bundle.

        Raises:
            BundleError: the bundle holds no such file.
        """
        if name not in self.files:
            raise BundleError(
                "{}: holds no {}; it holds {}".format(self.path, name, ", ".join(sorted(self.files)))
            )
        return os.path.join(self.path, *name.split("/"))


def find_bundle(argument: Optional[str]) -> str:
    """The bundle a command means: its argument, else ``$LEGOCLF_BUNDLE``, else the only ``*.bundle`` here.

    Raises:
        UsageError: none is named and there is none here, or more than one (the message lists them).
    """
    named = argument or os.environ.get("LEGOCLF_BUNDLE")
    if named:
        return named
    here = sorted(
        entry.name
        for entry in os.scandir(".")
        if entry.name.endswith(".bundle") and not entry.name.startswith(".") and entry.is_dir()
    )
    if len(here) == 1:
        return here[0]
    if not here:
        raise UsageError(
            "no bundle: name one, set LEGOCLF_BUNDLE, or run where one *.bundle is; "
            "`legoclf retrain --image_dir DIR` makes one"
        )
    raise UsageError("more than one bundle here ({}): name the one you mean".format(", ".join(here)))


def looks_like_bundle(path: str) -> bool:
    """Whether a path is meant as a bundle: a directory with a model.json, or a name in .bundle."""
    return os.path.isfile(os.path.join(path, MODEL_FILE)) or path.rstrip("/\\").endswith(".bundle")


def read_labels(path: str) -> List[str]:
    """Labels of a labels.txt: one a line, UTF-8, in the order of the network's outputs."""
    with open(path, "rb") as stream:
        text = stream.read().decode("utf-8")
    return text[:-1].split("\n") if text else []


def sha256_file(path: str) -> str:
    """SHA-256 of a file's content, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _refusal(path: str, what: str) -> BundleError:
    return BundleError("{}: {}".format(os.path.join(path, MODEL_FILE), what))


def read_model_json(path: str) -> Dict[str, Any]:
    """The object in a bundle's model.json, unchecked but for being one; BundleError otherwise."""
    if not os.path.isdir(path):
        what = "is a file" if os.path.exists(path) else "no such folder"
        raise BundleError("{}: {}; expected a bundle, as `legoclf retrain` makes it".format(path, what))
    try:
        with open(os.path.join(path, MODEL_FILE), "rb") as stream:
            record = json.loads(stream.read().decode("utf-8"))
    except FileNotFoundError as error:
        raise BundleError("{}: holds no {}, so it is not a bundle".format(path, MODEL_FILE)) from error
    except OSError as error:
        raise _refusal(path, "cannot be read: {}".format(error.strerror)) from error
    except ValueError as error:
        raise _refusal(path, "is not valid JSON ({}); the bundle is damaged".format(error)) from error
    if not isinstance(record, dict):
        raise _refusal(path, "expected a JSON object")
    return cast(Dict[str, Any], record)


def _check_format(path: str, record: Dict[str, Any]) -> None:
    version = record.get("format_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise _refusal(path, "format_version: got {!r}, expected {}".format(version, FORMAT_VERSION))
    if version > FORMAT_VERSION:
        raise _refusal(
            path,
            "format_version: got {}, but this legoclf reads up to {}; upgrade legoclf".format(
                version, FORMAT_VERSION
            ),
        )


def _check_labels(path: str, labels: Any) -> List[str]:
    if not isinstance(labels, list) or not labels or not all(isinstance(x, str) and x for x in labels):
        raise _refusal(path, "labels: expected a list of names")
    if len(set(labels)) != len(labels):
        raise _refusal(path, "labels: one name stands there twice")
    return cast(List[str], labels)


def _check_novelty(path: str, record: Any) -> Optional[NoveltyRule]:
    if record is None:
        return None
    try:
        return NoveltyRule.from_json(record)
    except ValueError as error:
        raise _refusal(path, str(error)) from error


def _check_file_records(path: str, files: Any) -> Dict[str, FileRecord]:
    if not isinstance(files, dict) or LABELS_FILE not in files:
        raise _refusal(path, "files: expected an object with at least {}".format(LABELS_FILE))
    records = {}
    for name, entry in files.items():
        parts = name.split("/")
        # A name must stay inside the bundle, on Windows too.
        if "\\" in name or ":" in name or any(part in ("", ".", "..") for part in parts):
            raise _refusal(path, "files: {!r} is not a path inside the bundle".format(name))
        if not isinstance(entry, dict) or set(entry) != {"sha256", "size"}:
            raise _refusal(path, "files.{}: expected sha256 and size".format(name))
        records[name] = FileRecord(entry["sha256"], entry["size"])
    return records


def _check_file(path: str, name: str, expected: FileRecord) -> None:
    target = os.path.join(path, *name.split("/"))
    try:
        size = os.path.getsize(target)
        if size != expected.size:
            raise BundleError(
                "{}: damaged: {} bytes, but {} says {}; copy the bundle again or retrain".format(
                    target, size, MODEL_FILE, expected.size
                )
            )
        if sha256_file(target) != expected.sha256:
            raise BundleError(
                "{}: damaged: its SHA-256 differs from {}; copy the bundle again or retrain".format(
                    target, MODEL_FILE
                )
            )
    except OSError as error:
        raise BundleError(
            "{}: {}, but {} lists it; copy the bundle again or retrain".format(
                target, "missing" if isinstance(error, FileNotFoundError) else error.strerror, MODEL_FILE
            )
        ) from error
