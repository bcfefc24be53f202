"""The part of the picture that is looked at."""

from typing import NamedTuple, Tuple

from legoclf.errors import LegoclfError, UsageError


class Roi(NamedTuple):
    """x, y, width, height; in shares of the picture where ``is_share``, else in pixels."""

    values: Tuple[float, float, float, float]
    is_share: bool

    def pixels(self, height: int, width: int) -> Tuple[int, int, int, int]:
        """x, y, width, height within a picture of that size.

        Raises:
            LegoclfError: it does not lie within.
        """
        x, y, across, down = self.values
        if self.is_share:
            left, top = round(x * width), round(y * height)
            right, bottom = round((x + across) * width), round((y + down) * height)
        else:
            left, top, right, bottom = int(x), int(y), int(x + across), int(y + down)
        if right > width or bottom > height or right <= left or bottom <= top:
            raise LegoclfError(
                "--roi: got {}, expected a part of the picture, which is {} x {}".format(
                    ",".join("{:g}".format(value) for value in self.values), width, height
                )
            )
        return left, top, right - left, bottom - top


def parse_roi(text: str) -> Roi:
    """``x,y,width,height``: in pixels, or, where none is above 1, in shares of the picture.

    Raises:
        UsageError: it is not that.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    in_range = len(values) == 4 and all(0 <= value < 1e6 for value in values) and min(values[2:]) > 0
    is_share = all(value <= 1 for value in values)
    if not in_range or not (is_share or all(value == int(value) for value in values)):
        raise UsageError(
            "--roi: got {!r}, expected x,y,width,height in pixels, or in shares such as 0.25,0,0.5,1".format(
                text
            )
        )
    return Roi((values[0], values[1], values[2], values[3]), is_share)
