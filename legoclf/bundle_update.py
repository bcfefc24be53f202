"""Changing a bundle that stands: its figures, or its files; whole, or not at all.

Both functions take the bundle as it was opened and refuse one that somebody else has changed since.
"""

import datetime
import os
import shutil
import tempfile
from typing import Any, Dict, Iterable, Mapping, Sequence

from legoclf.bundle import LABELS_FILE, MODEL_FILE, ONNX_MODEL, Bundle, read_model_json
from legoclf.bundle_writer import (
    OPEN_FOLDERS,
    file_record,
    files_below,
    make_sibling,
    model_json,
    remove_leftovers,
    replace_directory,
)
from legoclf.errors import BundleError, LegoclfError


def update_metrics(bundle: Bundle, changes: Mapping[str, Any]) -> Bundle:
    """Set fields of a bundle's metrics; all else in model.json stays as it is, in its order.

    model.json is written beside itself and moved into place: a process that is killed leaves the old one
    or the new one.

    Args:
        bundle: as it was opened.
        changes: field of ``metrics`` to its new value, fit for JSON; NaN and infinity are not.

    Returns:
        the bundle with the new metrics.

    Raises:
        BundleError: model.json is no longer what was opened.
        LegoclfError: it cannot be written; nothing has changed.
    """
    record = _unchanged_record(bundle)
    record["metrics"].update(changes)
    place = os.path.join(bundle.path, MODEL_FILE)
    content = model_json(record)
    try:
        _replace_file(place, content)
    except OSError as error:
        raise LegoclfError(
            "{}: cannot be written: {}; it is as it was".format(place, error.strerror)
        ) from error
    return bundle._replace(metrics=record["metrics"])


def add_files(
    bundle: Bundle,
    files: Mapping[str, bytes],
    metrics: Mapping[str, Any],
    provenance: Mapping[str, Any],
    remove: Sequence[str] = (),
) -> Bundle:
    """Add files to a bundle, or replace or remove some of it.

    The new bundle is put together beside the old one (files that stay are linked, not copied, where the
    file system can), opened to see that it is whole, and then takes its place: whoever opens the bundle
    meanwhile, or after a kill, finds the old one or the new one. Files that are not listed in model.json
    stay; engines do not where model.onnx is another afterwards, for they were built from the old one.

    Args:
        bundle: as it was opened.
        files: name in the bundle (``/`` between folders) to content.
        metrics: fields to set in ``metrics``.
        provenance: fields to set in ``provenance``.
        remove: names of files to take out; one that is not there is passed over.

    Returns:
        the new bundle, opened.

    Raises:
        BundleError: the bundle is no longer what was opened.
        LegoclfError: it cannot be written; nothing has changed.
    """
    for name in (*files, *remove):
        if name in (MODEL_FILE, LABELS_FILE) or {"", ".", ".."} & set(name.split("/")):
            raise ValueError("{!r}: no name of a file to add or to remove".format(name))
    record = _unchanged_record(bundle)
    record["metrics"].update(metrics)
    record["provenance"].update(provenance)
    target = os.path.realpath(bundle.path)
    directory = ""
    try:
        directory = make_sibling(target)
        _carry(target, directory, {MODEL_FILE, *files, *remove})
        for name, content in files.items():
            _write(os.path.join(directory, *name.split("/")), content)
        gone = set(remove) - set(files)
        kept = {name: entry for name, entry in record["files"].items() if name not in gone}
        added = {name: file_record(os.path.join(directory, *name.split("/")))._asdict() for name in files}
        record["files"] = dict(sorted({**kept, **added}.items()))
        if record["files"].get(ONNX_MODEL) != _entry(bundle, ONNX_MODEL):
            for folder in OPEN_FOLDERS:
                shutil.rmtree(os.path.join(directory, folder), ignore_errors=True)
        _write(os.path.join(directory, MODEL_FILE), model_json(record))
        opened = Bundle.open(directory)
        replace_directory(directory, target)
        remove_leftovers(target)
    except OSError as error:
        raise LegoclfError(
            "{}: cannot be written: {}; it is as it was".format(bundle.path, error.strerror)
        ) from error
    finally:
        if directory:
            shutil.rmtree(directory, ignore_errors=True)
    return opened._replace(path=bundle.path)


def timestamp() -> str:
    """The time in UTC to the second; SOURCE_DATE_EPOCH sets it, as for any reproducible build."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.datetime.now(datetime.timezone.utc)
    if epoch:
        moment = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _unchanged_record(bundle: Bundle) -> Dict[str, Any]:
    """The object in model.json, if it still says what was opened."""
    record = read_model_json(bundle.path)
    opened = {
        "labels": bundle.labels,
        "input": bundle.contract.to_json(),
        "metrics": bundle.metrics,
        "provenance": bundle.provenance,
        "files": {name: entry._asdict() for name, entry in bundle.files.items()},
        "novelty": None if bundle.novelty is None else bundle.novelty.to_json(),
    }
    changed = [name for name in sorted(opened) if record.get(name) != opened[name]]
    if changed:
        raise BundleError(
            "{}: {} changed while this command ran, so nothing is written; run the command again".format(
                os.path.join(bundle.path, MODEL_FILE), ", ".join(changed)
            )
        )
    return record


def _entry(bundle: Bundle, name: str) -> Any:
    return bundle.files[name]._asdict() if name in bundle.files else None


def _carry(source: str, target: str, without: Iterable[str]) -> None:
    """Put all files of one directory into another, but for the named ones; linked where that is possible."""
    for name in sorted(set(files_below(source)) - set(without)):
        old, new = (os.path.join(directory, *name.split("/")) for directory in (source, target))
        os.makedirs(os.path.dirname(new), exist_ok=True)
        try:
            os.link(old, new)
        except OSError:  # FAT and some network file systems have no links
            shutil.copy2(old, new)


def _write(path: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(content)
        stream.flush()
        # A rename may reach the disk before the data does: a board that loses power finds an empty file.
        os.fsync(stream.fileno())


def _replace_file(path: str, content: bytes) -> None:
    """Write a file beside itself, with its permissions, and move it into place."""
    remove_leftovers(path)
    parent, name = os.path.split(path)
    prefix = ".{}.{}.".format(name, os.getpid())
    descriptor, beside = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=parent)
    os.close(descriptor)
    try:
        _write(beside, content)
        shutil.copymode(path, beside)
        os.replace(beside, path)
    except OSError:
        os.unlink(beside)
        raise
