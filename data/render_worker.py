"""What one process does for a rendered data set: a task of pictures, each written whole."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from legoclf.data.ldraw import INHERITED_COLOUR, Mesh
from legoclf.data.part_library import open_parts
from legoclf.data.scene import Floats, image_rng, linear, random_scene
from legoclf.data.whole import write_whole
from legoclf.errors import missing_package

if TYPE_CHECKING:
    from legoclf.data.render_image import Model

JPEG_QUALITY = 92
DIRECT_COLOUR = 0x2000000  # LDraw writes a colour that has no code as 0x2RRGGBB


class Settings(NamedTuple):
    """What decides the pixels; the workers get it once, and render.json keeps it."""

    seed: int
    size: int
    image_format: str
    ldraw: str | None
    colours: tuple[tuple[int, int, int], ...]


class Task(NamedTuple):
    """Some pictures of one part."""

    part_id: str
    folder: Path
    indices: tuple[int, ...]


def file_name(part_id: str, index: int, settings: Settings) -> str:
    return f"{part_id}_{index:05d}.{settings.image_format}"


class _Worker:
    """One process's settings, and the part it made ready last."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._source = open_parts(settings.ldraw)
        self._colours = np.array(settings.colours) / 255
        self._ready: tuple[str, Model] | None = None

    def picture(self, part_id: str, index: int) -> bytes:
        """One picture as an encoded file."""
        from legoclf.data.render_image import render_image

        size = self.settings.size
        model = self._model(part_id)
        rng = image_rng(self.settings.seed, part_id, index, size)
        scene = random_scene(rng, model.mesh.vertices, model.poses, self._colours, size)
        pixels = render_image(model, self._face_colours(model.mesh, scene.colour), scene, size, rng)
        return _encode(pixels, self.settings.image_format)

    def _model(self, part_id: str) -> "Model":
        from legoclf.data.render_image import prepare

        if self._ready is None or self._ready[0] != part_id:
            self._ready = (part_id, prepare(self._source.mesh(part_id)))
        return self._ready[1]

    def _face_colours(self, mesh: Mesh, main: Floats) -> Floats | None:
        """Linear colours [F, 3] for a part with colours of its own; None for a part of one colour."""
        if (mesh.colours == INHERITED_COLOUR).all():
            return None
        known = self._source.colours()
        faces = np.tile(main, (len(mesh.colours), 1))
        for code in np.unique(mesh.colours):
            if code >= DIRECT_COLOUR:
                faces[mesh.colours == code] = linear([(code >> shift & 255) / 255 for shift in (16, 8, 0)])
            elif code != INHERITED_COLOUR and int(code) in known:
                faces[mesh.colours == code] = linear(np.array(known[int(code)].rgb) / 255)
        return faces


_worker: _Worker | None = None


def start_worker(settings: Settings) -> None:
    global _worker
    _worker = _Worker(settings)


def start_pool_worker(settings: Settings) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, so that files are finished
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start_worker(settings)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever: the queue it reads never closes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def render_whole_task(task: Task) -> int:
    return sum(render_task(task))


def render_task(task: Task) -> Iterator[int]:
    """Render and write a task's pictures; yields 1 for each."""
    assert _worker is not None
    for index in task.indices:
        data = _worker.picture(task.part_id, index)
        write_whole(task.folder / file_name(task.part_id, index, _worker.settings), data)
        yield 1


def _encode(pixels: np.ndarray, image_format: str) -> bytes:
    import io

    try:
        from PIL import Image
    except ImportError as error:
        raise missing_package("pillow", "render") from error
    buffer = io.BytesIO()
    options = {"format": "JPEG", "quality": JPEG_QUALITY} if image_format == "jpg" else {"format": "PNG"}
    Image.fromarray(pixels).save(buffer, **options)
    return buffer.getvalue()
