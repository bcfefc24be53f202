"""A bundle of a user's own classifier: graphs, labels, contract and golden images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from legoclf import __version__
from legoclf.bundle import FROZEN_GRAPH, GOLDEN_FILE, ONNX_MODEL, SAVED_MODEL, Bundle
from legoclf.bundle_update import timestamp
from legoclf.bundle_writer import BundleWriter
from legoclf.convert import frozen, onnx_graph
from legoclf.convert.foreign import Foreign
from legoclf.convert.golden import golden_images, write_golden
from legoclf.convert.saved_model import write_saved_model
from legoclf.session import OnnxRuntimeSession


def write_foreign_bundle(
    path: Path,
    foreign: Foreign,
    images: Sequence[np.ndarray],
    command: Sequence[str],
    final_tensor_name: str = frozen.FINAL_TENSOR_NAME,
) -> Bundle:
    """Write the bundle of a converted classifier, whole or not at all.

    Args:
        path: of the bundle.
        foreign: as :func:`legoclf.convert.foreign.load_foreign` gave it.
        images: uint8 [H, W, 3] each, RGB: for golden.npz, beside the made pattern.
        command: the command line, for the record.
        final_tensor_name: what the frozen graph calls its softmax.

    Raises:
        LegoclfError: something else stands at the path, or it cannot be written.
    """
    with BundleWriter(str(path)) as writer:
        Path(writer.file(FROZEN_GRAPH)).write_bytes(frozen.serialize(foreign.frozen))
        saved_model = Path(writer.file(SAVED_MODEL))
        write_saved_model(foreign.frozen, saved_model, foreign.labels, final_tensor_name)
        Path(writer.file(ONNX_MODEL)).write_bytes(onnx_graph.serialize(foreign.onnx))
        with OnnxRuntimeSession(writer.file(ONNX_MODEL), threads=1) as session:
            golden = golden_images(images, foreign.contract)
            write_golden(Path(writer.file(GOLDEN_FILE)), golden, foreign.contract, session)
        provenance = {
            "created": timestamp(),
            "legoclf": __version__,
            "command": list(command),
            "model": foreign.provenance,
            "final_tensor_name": final_tensor_name,
        }
        return writer.finish(foreign.labels, foreign.contract, {}, provenance)
