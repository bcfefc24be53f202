"""Requests at work on a runtime: so many at once as it can use, so many waiting, no more."""

import threading
import time
from typing import Any, Dict, List, Tuple

import numpy as np

from legoclf.jetson.frame import Frame
from legoclf.jetson.result import UNKNOWN
from legoclf.jetson.runtime import Answers
from legoclf.jetson.serve.images import BadRequest, Limits, decode, read_checked_header
from legoclf.jetson.smoothing import top_labels
from legoclf.novelty import json_novelty

#: Requests under way at once. The server has more threads than that: others are answered all the while.
MOST_AT_ONCE = 8

#: Until the network must be free for a request, and until the last image of one must have its turn.
MOST_SECONDS = 10.0

#: Pixels above which an image is large: more than Full HD. Such are decoded one at a time, with so few more
#: waiting, because decoding takes up to 23 bytes a pixel for a while (alpha, 16 bits; measured).
LARGE_PIXELS = 2100 * 1000
MOST_LARGE = 3


class Classifier(object):
    """Names images by a runtime; any thread may call it. A context manager, inside that of the runtime.

    Args:
        runtime: an open :class:`legoclf.jetson.runtime.Runtime`; the caller's to close.
        unknown_below: a likeliest label less probable than this is `unknown`; may be changed at any time.
            So is, whatever its probability, what the runtime calls novel.
    """

    def __init__(self, runtime: Any, limits: Limits, unknown_below: float) -> None:
        self.runtime = runtime
        self.limits = limits
        self.unknown_below = unknown_below
        self._turns = threading.Semaphore(runtime.parallel)
        self._places = threading.Semaphore(MOST_AT_ONCE)
        self._large_places = threading.Semaphore(MOST_LARGE)
        self._large = threading.Lock()

    def __enter__(self) -> "Classifier":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait until no call of the runtime is under way; from then on requests get 503."""
        for _ in range(self.runtime.parallel):
            self._turns.acquire()

    def look(self, images: List[Tuple[str, bytes]]) -> List[Answers]:
        """What the network says of each of N encoded images, decoded and classified one after the other.

        Raises:
            BadRequest: one cannot be used, or there is too much to do (503).
        """
        if not self._places.acquire(blocking=False):
            raise BadRequest(503, "too many requests are under way; try again")
        try:
            end = time.monotonic() + MOST_SECONDS
            return [self._one(name, data, end) for name, data in images]
        finally:
            self._places.release()

    def answers(self, images: List[Tuple[str, bytes]], top_k: int) -> List[Dict[str, Any]]:
        """For each image its label, the probability of that, and the likeliest labels.

        Raises:
            BadRequest: as :meth:`look`.
        """
        return [self.answer(name, seen, top_k) for (name, _), seen in zip(images, self.look(images))]

    def answer(self, name: str, seen: Answers, top_k: int) -> Dict[str, Any]:
        """The answer to one image, of what :meth:`look` gave of it, as JSON has it."""
        top = top_labels(self.runtime.labels, seen.probabilities[0], top_k)
        label, probability = top[0]
        is_novel = seen.is_novel is not None and bool(seen.is_novel[0])
        is_unknown = is_novel or probability < self.unknown_below
        record: Dict[str, Any] = {
            "name": name,
            "label": UNKNOWN if is_unknown else label,
            "probability": round(probability, 6),
            "unknown": is_unknown,
            "top": [{"label": each, "probability": round(value, 6)} for each, value in top],
        }
        if seen.novelty is not None:
            record.update(novelty=json_novelty(seen.novelty[0]), novel=is_novel)
        return record

    def _one(self, name: str, data: bytes, end: float) -> Answers:
        """Waits for its turns until ``end``, as time.monotonic() tells it."""
        header = read_checked_header(name, data, self.limits)
        if header.width * header.height <= LARGE_PIXELS:
            return self._classify(name, data, end)
        if not self._large_places.acquire(blocking=False):
            raise BadRequest(503, "too many large images are under way; try again")
        try:
            _take(self._large, end)
            try:
                return self._classify(name, data, end)
            finally:
                # A thread's preprocessor keeps its last frame, for the regions of that.
                self.runtime.prepare(_SMALL)
                self._large.release()
        finally:
            self._large_places.release()

    def _classify(self, name: str, data: bytes, end: float) -> Answers:
        work = self.runtime.prepare(Frame(decode(name, data), "BGR", 0, time.monotonic()))
        _take(self._turns, end)
        try:
            seen: Answers = self.runtime.answer(work)
        finally:
            self._turns.release()
        return seen


def _take(turn: Any, end: float) -> None:
    if not turn.acquire(timeout=max(0.0, end - time.monotonic())):
        raise BadRequest(503, "busy for {:g} s; try again".format(MOST_SECONDS))


_SMALL = Frame(np.zeros((1, 1, 3), np.uint8), "BGR", 0, 0.0)
