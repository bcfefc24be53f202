"""A data set of rendered bricks: many pictures on all cores, each reproducible alone, resumable."""

import importlib.util
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from legoclf.cores import available_cores
from legoclf.data.colours import choose_colours
from legoclf.data.part_library import DEFAULT_PARTS, Part, open_parts, select_parts
from legoclf.data.render_worker import (
    Settings,
    Task,
    file_name,
    render_task,
    render_whole_task,
    start_pool_worker,
    start_worker,
)
from legoclf.data.scene import RENDERER_VERSION
from legoclf.data.whole import write_whole
from legoclf.errors import LegoclfError, UsageError, missing_package
from legoclf.progress import Progress

DEFAULT_COUNT = 50
DEFAULT_SIZE = 224
SIZES = (16, 4096)
FORMATS = ("jpg", "png")
RECORD = "render.json"
RECORD_VERSION = 1
PIXELS_PER_TASK = 8 * 224 * 224  # about a second of work: short enough to stop after, long enough to hand out
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class RenderReport(NamedTuple):
    """What :func:`render_dataset` did. ``rendered`` are new files, ``kept`` were there from a run before."""

    folder: Path
    classes: tuple[str, ...]
    rendered: int
    kept: int
    seconds: float


def render_dataset(
    out: str | os.PathLike[str],
    parts: str | Sequence[str] = DEFAULT_PARTS,
    count: int = DEFAULT_COUNT,
    size: int = DEFAULT_SIZE,
    seed: int = 0,
    ldraw: str | os.PathLike[str] | None = None,
    colours: str | None = None,
    image_format: str = FORMATS[0],
    jobs: int | None = None,
) -> RenderReport:
    """Render ``count`` square pictures of each part into ``out/<class>/<id>_<index>.<format>``.

    A picture depends only on seed, part, index, size, colours and the renderer's version, not on what else
    is rendered or by how many ``jobs`` (None: every core). Files that exist are kept, so a run that was
    stopped continues and a larger count or more parts add to it; ``out/render.json`` holds the settings that
    must agree.

    Raises UsageError for an unknown part or colour, a value out of range, or a folder with other settings
    or other content; LegoclfError for a part file that cannot be read. After KeyboardInterrupt no half file
    is left.
    """
    started = time.monotonic()
    _check_values(count, size, seed, image_format, jobs)
    _check_packages()
    source = open_parts(ldraw)
    chosen = select_parts(source, parts)
    library = None if ldraw is None else str(ldraw)
    settings = Settings(seed, size, image_format, library, choose_colours(source, colours))
    folder = Path(out)
    _claim(folder, settings, chosen, count)
    tasks, kept = _missing(folder, chosen, count, settings)
    wanted = sum(len(task.indices) for task in tasks)
    workers = min(jobs or available_cores(), len(tasks))
    with Progress("render", wanted) as progress:
        if workers <= 1:
            start_worker(settings)
            for task in tasks:
                for done in render_task(task):
                    progress.advance(done)
        else:
            _render_in_pool(settings, tasks, workers, progress)
    return RenderReport(folder, tuple(p.folder for p in chosen), wanted, kept, time.monotonic() - started)


def _check_packages() -> None:
    """Raise LegoclfError if a package of the extra is missing: before a folder is made."""
    for package in ("PIL", "embreex", "scipy", "trimesh"):
        if importlib.util.find_spec(package) is None:
            raise missing_package("pillow" if package == "PIL" else package, "render")


def _check_values(count: int, size: int, seed: int, image_format: str, jobs: int | None) -> None:
    if count < 1:
        raise UsageError(f"--count is {count}; it must be at least 1")
    if not SIZES[0] <= size <= SIZES[1]:
        raise UsageError(f"--size is {size}; it must be {SIZES[0]} to {SIZES[1]} pixels")
    if seed < 0:
        raise UsageError(f"--seed is {seed}; it must be 0 or more")
    if image_format not in FORMATS:
        raise UsageError(f"--format is '{image_format}'; it must be one of: {', '.join(FORMATS)}")
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs is {jobs}; it must be at least 1")


def _claim(folder: Path, settings: Settings, parts: list[Part], count: int) -> None:
    """Make ``folder`` and its render.json, or check that what is there agrees."""
    record: dict[str, Any] = {
        "format_version": RECORD_VERSION,
        "renderer": RENDERER_VERSION,
        "seed": settings.seed,
        "size": settings.size,
        "format": settings.image_format,
        "source": "embedded" if settings.ldraw is None else "ldraw",
        "colours": ["#{:02x}{:02x}{:02x}".format(*rgb) for rgb in settings.colours],
    }
    path = folder / RECORD
    classes = {part.part_id: part.folder for part in parts}
    if path.exists():
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
            old_parts, old_count = dict(old["parts"]), int(old["count"])
        except (ValueError, KeyError, TypeError) as error:
            raise LegoclfError(f"{path} is damaged ({error}); render into another folder") from error
        for key, value in record.items():
            before = old.get(key)
            if before != value:
                raise UsageError(
                    f"{folder} was rendered with {key} {_shown(before)}, this call has {_shown(value)}: "
                    "one data set has one setting; give the old one, or another folder"
                )
        classes, count = {**old_parts, **classes}, max(count, old_count)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} holds other things and no {RECORD}; give a new or an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    record.update(count=count, parts=dict(sorted(classes.items())))
    write_whole(path, (json.dumps(record, indent=2) + "\n").encode("utf-8"))


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _missing(folder: Path, parts: list[Part], count: int, settings: Settings) -> tuple[list[Task], int]:
    """The work left, in tasks of one part, and how many files there are already."""
    at_once = max(1, min(16, PIXELS_PER_TASK // settings.size**2))
    tasks, kept = [], 0
    for part in parts:
        class_folder = folder / part.folder
        class_folder.mkdir(exist_ok=True)
        there = set(os.listdir(class_folder))
        names = [file_name(part.part_id, index, settings) for index in range(count)]
        left = [index for index, name in enumerate(names) if name not in there]
        kept += count - len(left)
        tasks += [
            Task(part.part_id, class_folder, tuple(left[first : first + at_once]))
            for first in range(0, len(left), at_once)
        ]
    return tasks, kept


def _render_in_pool(settings: Settings, tasks: list[Task], workers: int, progress: Progress) -> None:
    context = multiprocessing.get_context("spawn")
    with _one_thread_each():
        pool = ProcessPoolExecutor(workers, context, initializer=start_pool_worker, initargs=(settings,))
        try:
            for count in _finished(pool, tasks):
                progress.advance(count)
        except BrokenProcessPool as error:
            raise LegoclfError(
                "a render process was ended from outside, often for want of memory; "
                "the same command continues, with fewer --jobs if it happens again"
            ) from error
        finally:
            # On an error or Ctrl-C: nothing new is started, the pictures under way are finished.
            pool.shutdown(wait=True, cancel_futures=True)


def _finished(pool: Executor, tasks: list[Task]) -> Iterator[int]:
    with _interrupts_ignored():
        futures = [pool.submit(render_whole_task, task) for task in tasks]
    for future in as_completed(futures):
        yield future.result()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes started inside inherit it: Ctrl-C reaches all of a terminal's processes, also those that
    are still importing, and the parent alone decides.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set it, and only it gets KeyboardInterrupt
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers started inside use one thread: there is one for every core already."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
