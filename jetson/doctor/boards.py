"""What JetPack brings, and what hardware the boards have."""

import re
from typing import Dict, NamedTuple, Optional, Tuple

#: By the beginning of JetPack's version: its TensorRT, and the Python that its bindings are for, which is
#: that of its Ubuntu: 18.04, 20.04, 22.04, 24.04. (NVIDIA's JetPack archive; of 4.6 from 4.6.1 on.)
JETPACKS: Dict[str, Tuple[str, Tuple[int, int]]] = {
    "4.6": ("8.2.1", (3, 6)),
    "5.1": ("8.5.2", (3, 8)),
    "6.0": ("8.6.2", (3, 10)),
    "6.1": ("10.3", (3, 10)),
    "6.2": ("10.3", (3, 10)),
    "7.2": ("10.16", (3, 12)),
}

#: The first JetPack 4 whose TensorRT legoclf works with.
FIRST_JETPACK = (4, 6, 1)


class Board(NamedTuple):
    """dla: deep learning accelerators. nvenc: whether it has a video encoder."""

    dla: int
    nvenc: bool


#: By what the device tree's model says. NVIDIA's module data sheets; others are not known here.
BOARDS: Tuple[Tuple[str, Board], ...] = (
    ("Orin Nano", Board(dla=0, nvenc=False)),
    ("Xavier NX", Board(dla=2, nvenc=True)),
    ("Jetson Nano", Board(dla=0, nvenc=True)),
)


def find_board(model: Optional[str]) -> Optional[Board]:
    """The board of that model; None if it is not known."""
    return next((board for words, board in BOARDS if words.lower() in (model or "").lower()), None)


def jetpack_brings(jetpack: Optional[str]) -> Optional[Tuple[str, Tuple[int, int]]]:
    """TensorRT's version, as far as it is known, and Python's; None for a JetPack that is not known."""
    if jetpack is None or is_too_old(jetpack):
        return None
    return JETPACKS.get(".".join(jetpack.split(".")[:2]))


def is_too_old(jetpack: str) -> bool:
    """Whether a JetPack's TensorRT is older than 8.2.1; not known, such as of 4.x, is not too old."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", jetpack))
    return "x" not in jetpack and numbers < FIRST_JETPACK
