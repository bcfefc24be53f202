"""Looking many image files over at once: headers, full decodes, contents. Files are only ever read."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from legoclf.bundle import sha256_file
from legoclf.cores import available_cores
from legoclf.errors import ImageError
from legoclf.image import read_image
from legoclf.image_header import read_header_of_file, unreadable
from legoclf.progress import Progress

T = TypeVar("T")

#: Files that a thread takes at once, at most: to hand over a small one takes longer than to read it.
_AT_ONCE = 16


class Rejected(NamedTuple):
    """An image file that is left out, and why."""

    path: str
    reason: str


def each_in_order(look: Callable[[str], T], paths: Sequence[str], jobs: int | None = None) -> Iterator[T]:
    """What ``look`` makes of each path, in their order, on threads; what it raises comes through.

    Args:
        jobs: threads; None is one per core.
    """
    workers = jobs or available_cores()
    size = max(1, min(_AT_ONCE, len(paths) // (4 * workers)))
    turns = (paths[start : start + size] for start in range(0, len(paths), size))
    with ThreadPoolExecutor(workers) as pool:
        for made in pool.map(lambda turn: [look(path) for path in turn], turns):
            yield from made


def check_headers(paths: Sequence[str], jobs: int | None = None) -> list[Rejected]:
    """The files that are empty, no image, of a format that is not read, or too large: by header alone."""
    return _rejected(read_header_of_file, paths, "reading headers", jobs)


def check_images(paths: Sequence[str], jobs: int | None = None) -> list[Rejected]:
    """The files that cannot be decoded to the last pixel, in the order of ``paths``; the only sure check.

    Args:
        paths: image files.
        jobs: threads; None is one per core.
    """
    return _rejected(read_image, paths, "decoding", jobs)


def content_sha256(path: str) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    try:
        return sha256_file(path)
    except OSError as error:
        raise unreadable(path, error) from error


def content_digests(paths: Sequence[str], jobs: int | None = None) -> list[str]:
    """:func:`content_sha256` of each file, in order."""
    return list(each_in_order(content_sha256, paths, jobs))


def same_contents(paths: Iterable[str]) -> list[list[str]]:
    """Groups of two or more files with the same bytes. Only files of equal size are read."""
    by_size: defaultdict[int, list[str]] = defaultdict(list)
    for path in paths:
        try:
            by_size[os.path.getsize(path)].append(path)
        except OSError as error:
            raise unreadable(path, error) from error
    candidates = [path for group in by_size.values() if len(group) > 1 for path in group]
    by_digest: defaultdict[str, list[str]] = defaultdict(list)
    for path, digest in zip(candidates, content_digests(candidates), strict=True):
        by_digest[digest].append(path)
    return [group for group in by_digest.values() if len(group) > 1]


def _rejected(
    look: Callable[[str], object], paths: Sequence[str], what: str, jobs: int | None
) -> list[Rejected]:
    rejected = []
    with Progress(what, len(paths)) as progress:
        for outcome in each_in_order(lambda path: rejection(look, path), paths, jobs):
            if outcome is not None:
                rejected.append(outcome)
            progress.advance()
    return rejected


def rejection(look: Callable[[str], object], path: str) -> Rejected | None:
    """Why an image file is left out that ``look`` reads; None if it reads it."""
    try:
        look(path)
    except ImageError as error:
        return Rejected(error.path, error.reason)
    return None
