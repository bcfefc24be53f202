"""Which box of a frame is which of the objects that are known."""

from typing import Dict, List, Sequence, Tuple

import numpy as np

from legoclf.jetson.locate import Box

#: How much the areas of one object's boxes may differ from one frame to the next, as a factor.
MAX_AREA_RATIO = 3.0


def match(places: np.ndarray, boxes: Sequence[Box], max_step_share: float) -> Dict[int, int]:
    """The box of each object by their numbers, the surest pair first, each at most once.

    Args:
        places: float [T, 4], where each object is expected: its middle's x and y, its width and height.
        max_step_share: how far from there it may be, as a share of the square root of its area.
    """
    if not len(places) or not boxes:
        return {}
    middles, sides = places[:, None, :2], places[:, None, 2:]
    box_middles = np.array([centre(box) for box in boxes], float)[None]
    box_sides = np.array([(box.width, box.height) for box in boxes], float)[None]
    apart = np.abs(middles - box_middles)
    # The sides of what two boxes have in common, from their middles.
    common = (
        np.minimum(np.minimum(sides, box_sides), (sides + box_sides) / 2 - apart).clip(min=0).prod(axis=2)
    )
    areas, box_areas = sides.prod(axis=2), box_sides.prod(axis=2)
    iou = common / (areas + box_areas - common)
    steps = np.sqrt((apart**2).sum(axis=2) / areas)
    ratio = np.maximum(areas / box_areas, box_areas / areas)
    cost = np.where((steps <= max_step_share) & (ratio <= MAX_AREA_RATIO), steps + 1 - iou, np.inf)
    matched: Dict[int, int] = {}
    for pair in np.argsort(cost, axis=None, kind="mergesort"):
        number, box = divmod(int(pair), len(boxes))
        if not np.isfinite(cost[number, box]):
            break
        if number not in matched and box not in matched.values():
            matched[number] = box
    return matched


def settle(
    places: np.ndarray, waited_for: Sequence[bool], matched: Dict[int, int], boxes: Sequence[Box]
) -> Tuple[Dict[int, int], Dict[int, int]]:
    """Which object is seen in which box, and which shares a box with others, by their numbers.

    A box is shared where an object that has no box of its own is expected in it. When none of those in it is
    waited for any longer one of them keeps the box, so that a box with a known object in it never makes a
    new one.

    Args:
        places, matched: as :func:`match` takes and gives them.
        waited_for: for each object whether it may go on sharing a box.
    """
    guests: Dict[int, List[int]] = {box: [number] for number, box in matched.items()}
    for number, (x, y, _, _) in enumerate(places):
        hosts = [box for box in range(len(boxes)) if number not in matched and _holds(boxes[box], x, y)]
        if hosts:
            guests.setdefault(hosts[0], []).append(number)
    seen: Dict[int, int] = {}
    shared: Dict[int, int] = {}
    for box, inside in guests.items():
        staying = [number for number in inside if waited_for[number]]
        # The matched one, if there is one, stands first.
        if not staying or (staying == inside[:1] and inside[0] in matched):
            seen[inside[0]] = box
        else:
            shared.update((number, box) for number in staying)
    return seen, shared


def centre(box: Box) -> Tuple[float, float]:
    """x and y of a box's middle."""
    return box.x + box.width / 2.0, box.y + box.height / 2.0


def within(value: float, low: float, high: float) -> float:
    """The nearest value between two; their mean if they are the wrong way round."""
    return (low + high) / 2.0 if low > high else max(low, min(value, high))


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes have a pixel in common."""
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def _holds(box: Box, x: float, y: float) -> bool:
    return box.x <= x < box.x + box.width and box.y <= y < box.y + box.height
