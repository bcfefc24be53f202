"""The letters of words in pictures."""

import os
from typing import Any


def font_of(size: int) -> Any:
    """A Pillow font whose letters are so many pixels high.

    It is matplotlib's, which knows most alphabets; Pillow's own, of Latin letters, where that is missing.
    """
    from PIL import ImageFont

    try:
        import matplotlib
    except ImportError:
        return ImageFont.load_default(size)
    path = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    return ImageFont.truetype(path, size)
