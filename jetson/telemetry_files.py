"""Reading the small files in which a kernel tells its readings; what is missing is None, never an error."""

import glob
import os
import re
from typing import List, Optional, Tuple, Union


def read_text(path: str) -> str:
    """A file's text without the white space at its ends; empty where it is missing or may not be read.

    Reading itself may fail too: Tegra answers EAGAIN for a sensor whose part of the chip has no power.
    """
    try:
        with open(path, "rb") as stream:
            return stream.read().decode("utf-8", "replace").strip("\0 \t\r\n")
    except OSError:
        return ""


def read_number(path: str) -> Optional[int]:
    """A file's whole number; None where there is none."""
    try:
        return int(read_text(path))
    except ValueError:
        return None


def read_scaled(path: str, divisor: float) -> Optional[float]:
    """A file's number in a larger unit: kHz to MHz, thousandths of a degree to degrees."""
    number = read_number(path)
    return None if number is None else number / divisor


def find(root: str, pattern: str) -> List[str]:
    """The paths under ``root`` that match, numbers in them in their own order: cpu2 before cpu10."""
    return sorted(glob.glob(os.path.join(glob.escape(root), pattern)), key=_natural)


def _natural(path: str) -> List[Tuple[bool, Union[int, str]]]:
    parts = re.split(r"(\d+)", path)
    return [(part.isdigit(), int(part) if part.isdigit() else part) for part in parts]
