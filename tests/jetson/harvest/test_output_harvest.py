"""Which frames the live loop keeps, how often, and what of them."""

import argparse
import json
import os
from collections import namedtuple

import fake_live
import numpy as np
import pytest

from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.frame import Frame
from legoclf.jetson.harvest import files
from legoclf.jetson.harvest.doubt import FLICKER_CHANGES, FLICKER_SECONDS, Judge
from legoclf.jetson.harvest.folder import list_stems, read_record
from legoclf.jetson.harvest.harvest import Harvest
from legoclf.jetson.harvest.output_harvest import (
    HarvestOptions,
    HarvestOutput,
    add_harvest_flags,
    harvest_outputs,
)
from legoclf.split import group_of

ABOUT = {"name": "x.bundle", "sha256": "ab"}
Track = namedtuple("Track", "id box label probability is_novel")


def result(*probabilities, **fields):
    """A result of labels a, b, c with these probabilities; answered with the likeliest."""
    row = np.array(probabilities, np.float32)
    order = row.argsort()[::-1]
    top = [(fake_live.LABELS[index], float(row[index])) for index in order]
    made = fake_live.result(top[0][0], top[0][1], top=top, smoothed=row)
    return made._replace(**fields)


def reason(judge, each, at_s=0.0):
    doubt = judge.doubt(each, at_s)
    return None if doubt is None else doubt.reason


def test_a_sure_answer_is_no_doubt():
    assert reason(Judge(0.6), result(0.9, 0.05, 0.05)) is None


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ((0.59, 0.21, 0.2), "uncertain"),
        ((0.61, 0.2, 0.19), None),
        ((0.55, 0.41, 0.04), "uncertain"),
    ],
)
def test_a_likeliest_label_below_the_bound_is_uncertain(probabilities, expected):
    assert reason(Judge(0.6), result(*probabilities)) == expected


def test_a_second_label_close_to_the_first_is_uncertain_however_low_the_bound():
    assert reason(Judge(0.0), result(0.55, 0.41, 0.04)) == "uncertain"


def test_the_margin_does_not_depend_on_how_many_labels_are_given():
    assert reason(Judge(0.0), result(0.55, 0.41, 0.04, top=[("a", 0.55)])) == "uncertain"


def test_an_unknown_answer_is_doubt_however_likely():
    assert reason(Judge(0.6), result(0.9, 0.05, 0.05, is_unknown=True, label="unknown")) == "unknown"


def test_of_what_is_novel_the_doubt_is_whole_however_likely_a_label():
    novel = result(0.97, 0.02, 0.01, is_unknown=True, label="unknown", is_novel=True)
    doubt = Judge(0.6).doubt(novel, 0.0)
    assert (doubt.reason, doubt.amount, doubt.label) == ("unknown", 1.0, "a")


def test_of_objects_a_novel_one_is_cut_out_before_all_others():
    tracks = [
        Track(1, (0, 0, 9, 9), "unknown", 0.3, False),
        Track(2, (10, 0, 5, 5), "unknown", 0.97, True),
    ]
    judge = Judge(0.6, crop_of=lambda box, height, width: box)
    doubt = judge.doubt(fake_live.result(tracks=tracks), 0.0)
    assert (doubt.reason, doubt.amount, doubt.region) == ("unknown", 1.0, (10, 0, 5, 5))


def test_the_less_the_lead_the_more_the_doubt():
    assert Judge(0.6).doubt(result(0.5, 0.375, 0.125), 0.0).amount == 0.875


def leading(index):
    probabilities = [0.1, 0.1, 0.1]
    probabilities[index] = 0.8
    return result(*probabilities)


def test_a_leader_that_changes_often_within_the_time_flickers():
    judge = Judge(0.6)
    step_s = FLICKER_SECONDS / FLICKER_CHANGES
    reasons = [reason(judge, leading(index % 2), index * step_s) for index in range(FLICKER_CHANGES + 1)]
    assert reasons == [None] * FLICKER_CHANGES + ["flickering"]


def test_a_leader_that_changes_now_and_then_does_not_flicker():
    judge = Judge(0.6)
    reasons = [reason(judge, leading(index % 2), index * FLICKER_SECONDS) for index in range(10)]
    assert reasons == [None] * 10


def test_flicker_ends_with_the_changes():
    judge = Judge(0.6)
    for index in range(FLICKER_CHANGES + 1):
        judge.doubt(leading(index % 2), index * 0.1)
    assert reason(judge, leading(FLICKER_CHANGES % 2), 0.2 + FLICKER_SECONDS) is None


def test_of_objects_the_least_sure_one_in_doubt_is_cut_out():
    tracks = [
        Track(1, (0, 0, 9, 9), "a", 0.9, False),
        Track(2, (10, 0, 5, 5), "b", 0.5, False),
        Track(3, (20, 0, 5, 5), "unknown", 0.4, False),
    ]
    judge = Judge(0.6, crop_of=lambda box, height, width: (box[0] - 1, box[1], box[2] + 2, height))
    doubt = judge.doubt(fake_live.result(tracks=tracks), 0.0)
    assert (doubt.reason, doubt.probability, doubt.region) == ("unknown", 0.4, (19, 0, 7, 4))
    assert judge.doubt(fake_live.result(tracks=tracks[:1]), 0.0) is None


def unsure(picture, at_s, **fields):
    sequence = fields.get("sequence", 0)
    frame = Frame(picture, "BGR", sequence, at_s)
    return result(0.5, 0.3, 0.2, frame=frame, captured_at=at_s, **fields)


@pytest.fixture
def output(tmp_path):
    """A function that opens an output on tmp_path/kept, closed at the end of the test."""
    opened = []

    def make(frame_time_s=None, **options):
        made = HarvestOutput(
            str(tmp_path / "kept"), HarvestOptions()._replace(**options), ABOUT, frame_time_s
        )
        opened.append(made.__enter__())
        return made

    yield make
    for each in opened:
        each.__exit__(None, None, None)


def kept(tmp_path):
    return list_stems(str(tmp_path / "kept"))


def test_what_the_model_thought_is_kept_with_the_picture(output, scene, tmp_path):
    output().write(unsure(scene(1, 100, 200), 1000.0))
    (stem,) = kept(tmp_path)
    record = read_record(str(tmp_path / "kept"), stem)
    assert record.pop("time").endswith("Z")
    assert record == {
        "legoclf_harvest": 1,
        "reason": "uncertain",
        "amount": 0.8,
        "label": "a",
        "probability": 0.5,
        "top": [
            {"label": "a", "probability": 0.5},
            {"label": "b", "probability": 0.3},
            {"label": "c", "probability": 0.2},
        ],
        "smoothed": [0.5, 0.3, 0.2],
        "bundle": ABOUT,
        "roi": None,
        "frame": {"width": 200, "height": 100},
    }


def test_the_novelty_is_kept_with_the_picture(output, scene, tmp_path):
    output().write(unsure(scene(1, 100, 200), 1000.0, novelty=2.5))
    (stem,) = kept(tmp_path)
    assert read_record(str(tmp_path / "kept"), stem)["novelty"] == 2.5


def test_of_a_roi_what_the_network_saw_is_kept(output, scene, tmp_path):
    from legoclf.image import decode_image

    output().write(unsure(scene(1, 100, 200), 1000.0, roi=(50, 20, 100, 60)))
    (item,) = Harvest(str(tmp_path / "kept")).items()
    picture = decode_image(Harvest(str(tmp_path / "kept")).image(item.id), item.id)
    assert picture.shape == (60, 100, 3)
    # JPEG at quality 95 moves a level by a few, at an edge by more: of the mean under 3.
    assert np.abs(picture[:, :, ::-1].astype(int) - scene(1, 100, 200)[20:80, 50:150]).mean() < 3
    assert item.record["roi"] == [50, 20, 100, 60]


def test_one_picture_an_interval_is_kept_at_most(output, scene, tmp_path):
    harvest = output(every_s=1.0)
    for index in range(30):
        harvest.write(unsure(scene(index, 48, 64), 1000.0 + index / 10))
    assert len(kept(tmp_path)) == 3


def test_near_duplicates_are_passed_over_in_this_run_and_the_next(output, scene, tmp_path):
    harvest = output(every_s=0.0)
    for index in range(5):
        harvest.write(unsure(scene(1), 1000.0 + index))
    harvest.__exit__(None, None, None)
    output(every_s=0.0).write(unsure(scene(1), 2000.0))
    assert len(kept(tmp_path)) == 1


def test_pictures_of_one_moment_are_of_one_group(output, scene, tmp_path):
    harvest = output(every_s=0.0)
    for index, at_s in enumerate((1000.0, 1000.5, 1001.9, 1002.1, 1010.0)):
        harvest.write(unsure(scene(index, 48, 64), at_s))
    groups = [group_of(stem) for stem in kept(tmp_path)]
    assert [groups.count(group) for group in sorted(set(groups))] == [3, 1, 1]


def test_images_of_a_folder_are_each_looked_at_by_itself(output, scene, tmp_path):
    harvest = output(frame_time_s=3600.0)
    for index in range(5):
        harvest.write(unsure(scene(index, 48, 64), 1000.0, sequence=index))
    stems = kept(tmp_path)
    assert len({group_of(stem) for stem in stems}) == len(stems) == 5


def test_a_disk_that_is_full_is_asked_once_an_interval_and_used_again_later(
    output, scene, tmp_path, monkeypatch
):
    asked = []

    def full(descriptor):
        asked.append(descriptor)
        raise OSError(files.errno.ENOSPC, "No space left on device")

    harvest = output(every_s=1.0)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LegoclfError, match="kept: No space left on device"):
        harvest.write(unsure(scene(0), 1000.0))
    harvest.write(unsure(scene(0), 1000.5))
    monkeypatch.undo()
    harvest.write(unsure(scene(0), 1001.0))
    assert len(asked) == 1
    assert len(kept(tmp_path)) == 1


def flags(*arguments):
    parser = argparse.ArgumentParser()
    add_harvest_flags(parser)
    parser.add_argument("--locate")
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--harvest_mb", "5"], "give --harvest DIR too"),
        (["--harvest", "x", "--harvest_mb", "0"], "--harvest_mb: got 0"),
        (["--harvest", "x", "--harvest_below", "1.5"], "--harvest_below: got 1.5"),
        (["--harvest", "x", "--harvest_every_s", "nan"], "--harvest_every_s: got nan"),
    ],
)
def test_a_wrong_flag_is_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        harvest_outputs(flags(*arguments), None, "synthetic://")


def test_without_the_flag_there_is_no_output():
    assert harvest_outputs(flags(), None, "synthetic://") == []


def test_camera_keeps_what_the_model_does_not_know_and_the_rest_not(tmp_path, capsys):
    pytest.importorskip("onnx", reason="the bundle is made with onnx")
    pytest.importorskip("onnxruntime", reason="it is run with ONNX Runtime")
    image = pytest.importorskip("PIL.Image")
    import tiny_bundle

    from legoclf import cli

    bundle = tiny_bundle.write_bundle(tmp_path / "x.bundle")
    photos = tmp_path / "photos"
    photos.mkdir()
    # Half way between red and blue is neither; the bundle knows red.
    for number, colour in enumerate([(230, 20, 20), (130, 20, 130)]):
        image.fromarray(np.full((48, 64, 3), colour, np.uint8)).save(str(photos / "{}.png".format(number)))
    arguments = ["--backend", "onnxruntime", "--source", str(photos), "--json", "--harvest"]
    code = cli.main(["camera", bundle, *arguments, str(tmp_path / "kept")])
    (item,) = Harvest(str(tmp_path / "kept")).items()
    summary = json.loads(capsys.readouterr().out)
    assert (code, summary["frames"]) == (0, 2)
    assert {label for label, _ in item.top[:2]} == {"red", "blue"}
    assert item.record["bundle"]["name"] == "x.bundle"
