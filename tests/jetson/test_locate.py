"""Finding objects on a plain table: against made pictures whose truth is known."""

import sys

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from table_scene import (  # noqa: E402
    COLOURS,
    Painter,
    Table,
    Thing,
    overlap,
    paste,
    rendered_brick,
    true_box,
    wood,
)

from legoclf.errors import UsageError  # noqa: E402
from legoclf.jetson.locate import METHODS, Box, Locator, LocatorOptions, crop_around  # noqa: E402

#: Lowest overlap with the truth. The reduced frame's pixels are 2 of a 640 frame's: a box of 40 pixels that
#: is one of them off on two sides overlaps by 0.9; a brick's darker rim is taken for shadow at worst.
OVERLAP = 0.7

BRICKS = [
    Thing(COLOURS["red"], 120, 110, 64, 32, 20),
    Thing(COLOURS["blue"], 300, 90, 48, 48, 45),
    Thing(COLOURS["yellow"], 500, 130, 90, 30, 100),
    Thing(COLOURS["green"], 150, 330, 60, 60, is_round=True),
    Thing(COLOURS["black"], 340, 300, 70, 36, -30),
    Thing(COLOURS["tan"], 520, 350, 80, 40, 60),
]

TABLES = {
    "white, light from the left": Table(slope=(-0.15, 0.05), noise_levels=3),
    "green, dark corners": Table(colour=(90, 190, 150), vignette=0.35, noise_levels=5),
    "grey, deep shadows": Table(colour=(150, 150, 150), slope=(0.1, 0.1), noise_levels=4, shadow_share=0.67),
    "blue, wide soft shadows": Table(colour=(215, 170, 130), noise_levels=4, shadow_blur_px=8),
}


def taught(method, painter, **options):
    """A locator that has seen the empty table."""
    locator = Locator(LocatorOptions(method=method, learn_frames=5, **options))
    for _ in range(5):
        locator.find(painter.draw())
    assert locator.ready
    return locator


def assert_boxes_fit(boxes, things):
    assert len(boxes) == len(things)
    for thing in things:
        assert max(overlap(true_box(thing), box) for box in boxes) > OVERLAP


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


@pytest.mark.parametrize("name", sorted(TABLES))
def test_each_brick_has_a_box_that_fits_and_its_shadow_is_left_out(name, method):
    painter = Painter(TABLES[name], seed=1)
    assert_boxes_fit(taught(method, painter).locate(painter.draw(BRICKS)), BRICKS)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_an_empty_table_has_no_object(name, method):
    painter = Painter(TABLES[name], seed=2)
    locator = taught(method, painter)
    found = [locator.find(painter.draw()) for _ in range(5)]
    assert [(each.boxes, each.covers) for each in found] == [([], [])] * 5


@pytest.mark.parametrize(("height", "width"), [(120, 160), (720, 1280), (700, 500)])
def test_boxes_are_in_pixels_of_the_frame_whatever_its_size(height, width):
    scale = width / 640.0
    bricks = [
        brick._replace(
            x=brick.x * scale,
            y=brick.y * height / 480.0,
            width=brick.width * scale,
            height=brick.height * scale,
        )
        for brick in BRICKS
    ]
    painter = Painter(Table(height, width, noise_levels=3, shadow_blur_px=3 * scale), seed=3)
    assert_boxes_fit(Locator().locate(painter.draw(bricks)), bricks)


def test_the_largest_object_comes_first():
    boxes = Locator().locate(Painter(Table()).draw(BRICKS))
    areas = [box.width * box.height for box in boxes if box.width > 85 or box.width < 50]
    assert areas == sorted(areas, reverse=True)


def test_of_too_many_objects_the_smaller_ones_are_covers():
    things = [Thing(COLOURS["red"], 100 * n, 200, 20 + 8 * n, 40) for n in range(1, 6)]
    found = Locator(LocatorOptions(max_objects=3)).find(Painter(Table()).draw(things))
    assert_boxes_fit(found.boxes, things[2:])
    assert_boxes_fit(found.covers, things[:2])


def test_a_hand_is_a_cover_and_the_bricks_beside_it_are_found(method):
    painter = Painter(Table(noise_levels=3, slope=(0.1, 0)), seed=4)
    found = taught(method, painter).find(painter.draw(BRICKS, hand=(420, 300)))
    beside = [brick for brick in BRICKS if brick.colour not in (COLOURS["black"], COLOURS["tan"])]
    assert [len(found.covers), found.covers[0].y + found.covers[0].height] == [1, 480]
    for brick in beside:
        assert max(overlap(true_box(brick), box) for box in found.boxes) > OVERLAP
    assert all(box.x + box.width < 400 or box.y + box.height < 300 or box.x > 470 for box in found.boxes)


def test_something_too_large_is_a_cover():
    book = Thing(COLOURS["blue"], 250, 230, 420, 300)
    found = Locator().find(Painter(Table()).draw([book]))
    assert found.boxes == []
    assert_boxes_fit(found.covers, [book])


def test_something_too_small_is_nothing():
    found = Locator(LocatorOptions(min_area_share=0.002)).find(
        Painter(Table()).draw([Thing(COLOURS["red"], 100, 100, 20, 20)])
    )
    assert (found.boxes, found.covers) == ([], [])


def test_an_object_that_the_border_cuts_off_is_a_cover_unless_it_is_wanted():
    frame = Painter(Table()).draw([Thing(COLOURS["red"], 10, 200, 60, 40)])
    found = Locator().find(frame)
    assert (len(found.boxes), len(found.covers)) == (0, 1)
    assert len(Locator(LocatorOptions(keep_cut=True)).locate(frame)) == 1


@pytest.mark.parametrize(("x", "y"), [(320, 8), (320, 472), (8, 240), (632, 240)])
def test_each_of_the_four_borders_cuts(x, y):
    assert Locator().locate(Painter(Table()).draw([Thing(COLOURS["red"], x, y, 40, 40)])) == []


def test_a_hole_counts_as_part_of_its_object():
    frame = Painter(Table()).draw([])
    cv2.circle(frame, (300, 200), 40, COLOURS["blue"], 8)
    # The ring alone is 0.0065 of the frame, with its hole 0.019.
    assert len(Locator(LocatorOptions(min_area_share=0.012)).locate(frame)) == 1


def test_objects_that_touch_are_one_box():
    pair = [Thing(COLOURS["red"], 200, 200, 60, 40), Thing(COLOURS["blue"], 258, 200, 60, 40)]
    (box,) = Locator().locate(Painter(Table()).draw(pair))
    assert overlap(box, (170, 180, 118, 40)) > OVERLAP


def test_a_hair_across_two_bricks_does_not_join_them():
    frame = Painter(Table()).draw(BRICKS[:2])
    cv2.line(frame, (120, 110), (300, 90), COLOURS["black"], 2)
    assert_boxes_fit(Locator().locate(frame), BRICKS[:2])


def test_a_very_noisy_picture_has_no_object(method):
    painter = Painter(Table(colour=(120, 120, 120), noise_levels=25), seed=18)
    found = taught(method, painter).find(painter.draw())
    assert (found.boxes, found.covers) == ([], [])


def test_where_the_table_is_overexposed_is_no_object(method):
    """Blue and green are at their upper end there, red is not: the table has another colour."""
    table = Table(colour=(185, 175, 130), slope=(0.25, 0.0), noise_levels=2)
    painter = Painter(table, seed=19)
    found = taught(method, painter).find(painter.draw(BRICKS[:1], gain=1.3))
    assert_boxes_fit(found.boxes, BRICKS[:1])
    assert found.covers == []


def test_a_part_of_a_frame_will_do():
    frame = Painter(Table()).draw(BRICKS)
    boxes = Locator().locate(frame[40:300, 200:])
    assert_boxes_fit([box.moved(200, 40) for box in boxes], [BRICKS[1], BRICKS[2]])


def test_where_there_are_no_shadows_grey_on_grey_is_found():
    """At 0.7 of the table's brightness it may be a shadow, unless there are none."""
    grey = Thing((154, 154, 154), 300, 200, 60, 40)
    frame = Painter(Table(colour=(220, 220, 220), shadow_share=1.0)).draw([grey])
    assert_boxes_fit(Locator(LocatorOptions(shadow_share=0.9)).locate(frame), [grey])


@pytest.mark.parametrize("gain", [0.55, 1.15, (1.0, 0.9, 0.75)], ids=["darker", "brighter", "white balance"])
def test_a_jump_of_the_exposure_is_taken_at_the_next_frame(method, gain):
    painter = Painter(Table(noise_levels=3, slope=(0.1, 0)), seed=5)
    locator = taught(method, painter)
    locator.find(painter.draw(BRICKS))
    found = locator.find(painter.draw(BRICKS, gain=gain))
    assert_boxes_fit(found.boxes, BRICKS)
    assert found.covers == []


def test_light_that_fades_slowly_makes_no_object_and_loses_none(method):
    painter = Painter(Table(noise_levels=3), seed=6)
    locator = taught(method, painter, adapt_frames=20)
    for gain in np.linspace(1, 0.75, 30):
        found = locator.find(painter.draw(BRICKS[:2], gain=gain))
        assert_boxes_fit(found.boxes, BRICKS[:2])
        assert found.covers == []


GRAINED = Table(noise_levels=3, pattern=wood(480, 640, depth=0.5))


def test_background_finds_bricks_on_a_table_with_a_pattern():
    painter = Painter(GRAINED, seed=7)
    assert_boxes_fit(taught("background", painter).locate(painter.draw(BRICKS)), BRICKS)


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 11), reason="the renderer does not run on this Python")
def test_rendered_bricks_are_found_on_a_table_of_a_strong_colour(method):
    pytest.importorskip("embreex", reason="the render extra is not installed")
    painter = Painter(Table(colour=(90, 190, 150), slope=(0.1, 0.05), vignette=0.2, noise_levels=3), seed=17)
    for index in range(4):
        locator = taught(method, painter)
        frame = painter.draw()
        truth = []
        for place, part_id in enumerate(["3001", "3003", "3004", "3020", "3039", "3068b", "3941", "3647"]):
            picture, mask = rendered_brick(part_id, index, 130)
            truth.append(paste(frame, picture, mask, 10 + place % 4 * 155, 40 + place // 4 * 220))
        boxes = locator.locate(frame)
        assert len(boxes) == len(truth)
        assert min(max(overlap(each, box) for box in boxes) for each in truth) > OVERLAP


def test_background_finds_nothing_until_it_has_learnt():
    painter = Painter(Table())
    locator = Locator(LocatorOptions(method="background", learn_frames=3))
    for _ in range(3):
        assert not locator.ready
        assert locator.locate(painter.draw(BRICKS)) == []
    assert locator.ready


def test_a_hand_that_leaves_while_the_table_is_learnt_does_no_harm():
    painter = Painter(GRAINED, seed=8)
    locator = Locator(LocatorOptions(method="background", learn_frames=9))
    for step in range(9):
        locator.find(painter.draw(hand=(200 + 80 * step, 200)))
    found = locator.find(painter.draw(BRICKS))
    assert_boxes_fit(found.boxes, BRICKS)
    assert found.covers == []


def test_learning_keeps_no_hold_of_the_callers_frame():
    """Of a frame that needs no reduction; sources use a frame's memory again."""
    painter = Painter(Table(240, 320), seed=9)
    locator = Locator(LocatorOptions(method="background", learn_frames=3))
    for _ in range(3):
        frame = painter.draw()
        locator.find(frame)
        frame[:] = 0
    assert locator.find(painter.draw()).covers == []


def test_a_brick_at_rest_is_never_taken_for_table():
    painter = Painter(GRAINED, seed=10)
    locator = taught("background", painter, adapt_frames=4)
    frame = painter.draw(BRICKS)
    for _ in range(40):
        locator.find(frame)
    assert_boxes_fit(locator.locate(frame), BRICKS)


def test_no_ghost_is_left_where_a_brick_was_lifted_after_the_light_had_changed():
    painter = Painter(GRAINED._replace(colour=(130, 130, 130)), seed=11)
    locator = taught("background", painter, adapt_frames=4)
    for gain in np.linspace(1, 1.3, 20):
        locator.find(painter.draw(BRICKS, gain=gain))
    found = locator.find(painter.draw(gain=1.3))
    assert (found.boxes, found.covers) == ([], [])


@pytest.mark.parametrize(("adapt_frames", "objects"), [(4, 0), (100000, 1)])
def test_a_patch_that_changes_slowly_is_followed(adapt_frames, objects):
    """A patch of sun that comes up; without adaptation it is taken for an object."""
    painter = Painter(Table(noise_levels=2, colour=(150, 150, 150)), seed=12)
    locator = taught("background", painter, adapt_frames=adapt_frames)
    for level in np.linspace(0, 40, 40):
        frame = painter.draw()
        frame[200:300, 200:300] += np.uint8(level)
        found = locator.find(frame)
    assert len(found.boxes) == objects


def test_a_table_that_was_moved_is_learnt_anew():
    painter = Painter(GRAINED, seed=13)
    locator = taught("background", painter, relearn_frames=10)
    locator.find(painter.draw())
    moved = Painter(GRAINED._replace(pattern=GRAINED.pattern[::-1]), seed=14)
    for _ in range(10):
        assert locator.ready
        locator.find(moved.draw())
    for _ in range(5):
        assert not locator.ready
        locator.find(moved.draw())
    found = locator.find(moved.draw(BRICKS))
    assert_boxes_fit(found.boxes, BRICKS)
    assert found.covers == []


def test_a_full_table_is_no_other_table():
    """Bricks on a third of it, for longer than it takes to learn a moved one."""
    full = [Thing(COLOURS["blue"], 80 + 120 * n, 80 + 110 * m, 90, 60) for n in range(5) for m in range(4)]
    painter = Painter(GRAINED, seed=16)
    locator = taught("background", painter, relearn_frames=5)
    locator.find(painter.draw())
    for _ in range(10):
        found = locator.find(painter.draw(full))
    assert_boxes_fit(found.boxes, full)


def test_relearn_starts_with_the_table_as_it_is_now():
    painter = Painter(Table(noise_levels=3), seed=15)
    locator = taught("background", painter)
    locator.relearn()
    assert not locator.ready
    for _ in range(5):
        locator.find(painter.draw(BRICKS[:1]))
    assert_boxes_fit(locator.locate(painter.draw(BRICKS[:2])), [BRICKS[1]])


def test_frames_of_another_size_start_anew():
    locator = taught("background", Painter(Table()))
    locator.find(Painter(Table(360, 640)).draw())
    assert not locator.ready


@pytest.mark.parametrize("aspect", [1.0, 4 / 3.0, 0.5])
@pytest.mark.parametrize(
    "box", [Box(300, 200, 60, 40), Box(0, 0, 30, 50), Box(600, 440, 40, 40), Box(300, 2, 8, 90)]
)
def test_a_crop_has_the_networks_shape_holds_its_box_and_lies_in_the_frame(box, aspect):
    crop = crop_around(box, 480, 640, aspect, 0.25)
    assert crop.width / float(crop.height) == pytest.approx(aspect, rel=0.02)  # a pixel of 50
    assert crop.x >= 0
    assert crop.y >= 0
    assert crop.x + crop.width <= 640
    assert crop.y + crop.height <= 480
    assert (crop.x <= box.x, crop.y <= box.y) == (True, True)
    assert crop.x + crop.width >= box.x + box.width
    assert crop.y + crop.height >= box.y + box.height


def test_a_crop_adds_its_margin_on_each_side_of_the_longer_one():
    assert crop_around(Box(300, 200, 60, 40), 480, 640, 1.0, 0.25) == Box(285, 175, 90, 90)


def test_a_crop_larger_than_the_frame_is_cut_to_it():
    assert crop_around(Box(20, 100, 600, 100), 480, 640, 1.0, 0.25) == Box(0, 0, 640, 480)


def test_there_is_a_crop_for_each_box_of_the_shape_asked_for():
    found = Locator(LocatorOptions(margin_share=0.1), aspect=2.0).find(Painter(Table()).draw(BRICKS))
    assert found.crops == [crop_around(box, 480, 640, 2.0, 0.1) for box in found.boxes]
    assert len(found.crops) == len(BRICKS)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (LocatorOptions(method="magic"), "--locate: got 'magic', expected contours or background"),
        (LocatorOptions(min_area_share=0.3), "--min_area: got 0.3"),
        (LocatorOptions(max_area_share=1.5), "--max_area"),
        (LocatorOptions(max_objects=0), "--max_objects: got 0"),
        (LocatorOptions(margin_share=-0.1), "--margin: got -0.1"),
        (LocatorOptions(contrast_levels=0), "--contrast: got 0"),
        (LocatorOptions(shadow_share=2), "--shadow: got 2"),
        (LocatorOptions(work_width_px=8), "--work_width: got 8"),
        (LocatorOptions(learn_frames=0), "--learn_frames: got 0"),
        (LocatorOptions(adapt_frames=0), "--adapt_frames: got 0"),
        (LocatorOptions(relearn_frames=-1), "--relearn_frames: got -1"),
    ],
)
def test_an_option_outside_its_range_is_named(options, named):
    with pytest.raises(UsageError, match=named):
        Locator(options)


def test_an_array_that_is_no_frame_is_refused():
    with pytest.raises(ValueError, match="float32"):
        Locator().locate(np.zeros((48, 64, 3), np.float32))
    with pytest.raises(ValueError, match="48, 64"):
        Locator().locate(np.zeros((48, 64), np.uint8))
