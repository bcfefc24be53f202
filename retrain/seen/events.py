"""Files of TensorBoard events, written without the tensorboard package, and without TensorFlow's runtime.

tf.summary would start that runtime, and after that no device can be hidden and no other machine be joined.
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legoclf.convert.frozen import import_tensorflow
from legoclf.errors import LegoclfError
from legoclf.image_header import read_header

if TYPE_CHECKING:
    from tensorflow.core.framework.graph_pb2 import GraphDef

_VERSION = "brain.Event:2"
_NUMBERS = itertools.count()


class EventFile:
    """A new file of events in a folder, to be read while it grows; a context manager, for one thread.

    TensorBoard reads the files of a folder one after the other by name, which begins with the time: what
    comes to a file after a later one was made is not shown. So only one of a folder may be open.

    Args:
        directory: the folder, which is a run of its own in TensorBoard; made if it is missing.

    Raises:
        LegoclfError: it cannot be written, or TensorFlow is not installed; the methods raise it too.
    """

    def __init__(self, directory: Path) -> None:
        tf = import_tensorflow()
        self._directory = directory
        self._failures = (OSError, tf.errors.OpError)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._records = tf.io.TFRecordWriter(os.fsencode(directory / _new_name()))
        except self._failures as error:
            raise self._error(error) from error
        self._add(file_version=_VERSION)

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._records.close()

    def add_scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by tag, as points of their curves at a step."""
        tf = import_tensorflow()
        from tensorflow.core.framework.summary_pb2 import DATA_CLASS_SCALAR

        tensors = {tag: tf.make_tensor_proto(value, tf.float32) for tag, value in values.items()}
        self._add_summary(step, tensors, "scalars", DATA_CLASS_SCALAR)

    def add_images(self, step: int, tag: str, pngs: Sequence[bytes]) -> None:
        """PNG files, at least one and all of one size, as the images of a tag at a step."""
        tf = import_tensorflow()
        from tensorflow.core.framework.summary_pb2 import DATA_CLASS_BLOB_SEQUENCE

        header = read_header(pngs[0], tag)
        size = [str(header.width).encode(), str(header.height).encode()]
        tensor = tf.make_tensor_proto([*size, *pngs], tf.string)
        self._add_summary(step, {tag: tensor}, "images", DATA_CLASS_BLOB_SEQUENCE)

    def add_graph(self, graph_def: GraphDef) -> None:
        """A graph as it is, weights included; of several in a folder the last is shown."""
        self._add(graph_def=graph_def.SerializeToString(deterministic=True))

    def _add_summary(self, step: int, tensors: Mapping[str, Any], plugin: str, data_class: int) -> None:
        """Tensors by tag, with what tells TensorBoard which of its plugins shows them."""
        from tensorflow.core.framework.summary_pb2 import Summary, SummaryMetadata

        metadata = SummaryMetadata(
            plugin_data=SummaryMetadata.PluginData(plugin_name=plugin), data_class=data_class
        )
        values = [Summary.Value(tag=tag, tensor=tensor, metadata=metadata) for tag, tensor in tensors.items()]
        self._add(step=step, summary=Summary(value=values))

    def _add(self, **content: Any) -> None:
        from tensorflow.core.util.event_pb2 import Event

        try:
            self._records.write(Event(wall_time=time.time(), **content).SerializeToString())
            self._records.flush()
        except self._failures as error:
            raise self._error(error) from error

    def _error(self, error: Exception) -> LegoclfError:
        cause = str(getattr(error, "strerror", None) or error).partition("\n")[0]
        return LegoclfError(
            f"--summaries_dir: TensorBoard logs cannot be written to {self._directory} ({cause}); "
            "make room there, or name another folder"
        )


def _new_name() -> str:
    """As TensorFlow names them; later files of this process come later by name too."""
    return (
        f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}."
        f"{next(_NUMBERS):06d}.v2"
    )
