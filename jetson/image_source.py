"""A folder of images, or one image, as a source: each in turn, and then it ends."""

import logging
import os
import time
from typing import Iterator, Optional

import numpy as np

from legoclf.errors import ImageError, LegoclfError
from legoclf.image import iter_image_files, read_image
from legoclf.jetson.frame import Frame
from legoclf.jetson.source_base import Source
from legoclf.jetson.source_uri import SourceUri

LOGGER = logging.getLogger(__name__)


class ImageSource(Source):
    """Images by the order of their paths. One of a folder that cannot be read is passed over and said."""

    def __init__(self, source: SourceUri) -> None:
        super().__init__()
        self._is_folder = os.path.isdir(source.target)
        self._files: Iterator[str] = iter((source.target,))
        if self._is_folder:
            self._files = iter_image_files(source.target)
        self._source = source

    def read(self, timeout_s: float) -> Optional[Frame]:
        for path in self._files:
            image = self._read_image(path)
            if image is not None:
                self.state = "running"
                self.captured += 1
                return Frame(image, "BGR", self.captured - 1, time.monotonic())
        if not self.captured and not self.ended:
            raise LegoclfError(
                "source {}: {}".format(
                    self._source.shown,
                    self.last_error or "there are no images in it; expected JPEG, PNG or BMP",
                )
            )
        self.state = "ended"
        return None

    def close(self) -> None:
        self.state = "ended"
        self._files = iter(())

    def _read_image(self, path: str) -> Optional[np.ndarray]:
        try:
            image = np.ascontiguousarray(read_image(path)[:, :, ::-1])
        except ImageError as error:
            if not self._is_folder:
                raise
            self.last_error = str(error)
            LOGGER.warning("passed over: %s", error)
            return None
        image.setflags(write=False)
        return image
