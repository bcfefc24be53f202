"""The light on a table: fitted although objects lie on it."""

import numpy as np
import pytest

pytest.importorskip("cv2")

from table_scene import COLOURS, Painter, Table, Thing, wood

from legoclf.jetson.table import LearntTable, TableLight, difference

#: The fit is to whole levels, of noise 2 by hundreds of samples; interpolation between those adds some.
LEVELS = 3.0

#: A third of the frame.
FULL = [Thing(COLOURS["blue"], 80 + 120 * n, 80 + 110 * m, 90, 60) for n in range(5) for m in range(4)]


@pytest.mark.parametrize(
    "table",
    [
        Table(slope=(-0.15, 0.1), noise_levels=2, colour=(190, 190, 190)),
        Table(vignette=0.5, noise_levels=2, colour=(120, 200, 90)),
        Table(vignette=-0.3, slope=(0.1, 0.0), noise_levels=2, colour=(130, 140, 150)),
    ],
    ids=["from a side", "dark corners", "bright corners"],
)
@pytest.mark.parametrize("things", [[], FULL], ids=["empty", "full"])
def test_the_light_on_a_table_of_one_colour_is_what_it_is_between_the_objects(table, things):
    truth = Painter(table._replace(noise_levels=0)).draw().astype(float)
    light, _ = TableLight(480, 640).fit(np.float32(Painter(table, seed=1).draw(things)), None)
    assert np.abs(light - truth).max() < LEVELS


@pytest.mark.parametrize("things", [[], FULL], ids=["empty", "full"])
def test_the_light_on_a_table_with_a_pattern_is_told_from_the_pattern(things):
    table = Table(colour=(150, 150, 150), pattern=wood(480, 640, depth=0.5))
    known = np.float32(Painter(table).draw())
    now = np.float32(Painter(table._replace(slope=(0.2, 0.0), vignette=0.3)).draw(things, gain=0.8))
    light, _ = TableLight(480, 640).fit(now, known)
    truth = np.float32(Painter(table._replace(slope=(0.2, 0.0), vignette=0.3)).draw(gain=0.8))
    assert np.abs(light * known - truth).max() < LEVELS


def test_light_that_is_hardly_uneven_is_fitted_to_the_level():
    truth = np.float32(Painter(Table(vignette=0.015)).draw())
    light, _ = TableLight(480, 640).fit(truth, None)
    assert np.abs(light - truth).max() < 0.8  # of which 0.5 is the picture's rounding


def test_what_is_overexposed_does_not_bend_the_light_elsewhere():
    truth = 200 + 100 * np.linspace(-1, 1, 640, dtype=np.float32)[None, :, None] * np.ones(
        (480, 1, 3), np.float32
    )
    light, _ = TableLight(480, 640).fit(np.minimum(truth, 255), None)
    assert np.abs(light - truth)[:, :300].max() < 0.5


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 320), (240, 2), (33, 47)])
def test_pictures_of_any_size_have_a_light(height, width):
    picture = np.full((height, width, 3), 100, np.float32)
    light, residual = TableLight(height, width).fit(picture, None)
    assert light.shape == (height, width, 3)
    assert np.abs(light - 100).max() < 0.5
    assert residual < 0.5


def test_a_shadow_is_a_change_and_no_object():
    table = Table(240, 320)
    picture = np.float32(Painter(table).draw())
    picture[100:140, 100:150] *= 0.75
    found = difference(picture, None, TableLight(240, 320), 20.0, 0.6)
    assert not found.objects.any()
    assert found.changed[105:135, 105:145].all()
    assert not found.changed[:, 160:].any()


def test_what_differs_is_not_learnt_and_the_rest_is_followed():
    learnt = LearntTable(learn_frames=1, adapt_frames=2)
    learnt.learn(np.full((240, 320, 3), 100, np.uint8))
    picture = np.full((240, 320, 3), 100, np.float32)
    picture[:, :40] = 104
    picture[100:140, 100:150] = 200
    for _ in range(10):
        found = difference(picture, learnt.picture, TableLight(240, 320), 20.0, 0.6)
        learnt.adapt(picture, found)
    assert np.abs(learnt.picture[110:130, 110:140] - 100).max() < 1
    assert np.abs(learnt.picture * found.light - picture)[:, :80].max() < 0.5
