"""The files of TensorBoard's projector."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_report import HOSTILE, pictures_of, report_of

from legoclf.errors import LegoclfError
from legoclf.retrain.seen.projector import CONFIG, MOST_POINTS, SIDE, write_projector

ROWS = np.random.default_rng(0).normal(0, 1, (5, 7)).astype(np.float32)


@pytest.fixture
def report() -> Any:
    """Five images of three classes, of which one is named wrong."""
    return report_of([0, 0, 1, 2, 2], [0, 1, 1, 2, 2], ["a", "b", "c"])


def parsed(path: Path) -> Any:
    """A projector_config.pbtxt as TensorBoard 2.21 reads it, by the schema of its projector_config.proto."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

    field = descriptor_pb2.FieldDescriptorProto
    text, number, one, many = field.TYPE_STRING, field.TYPE_UINT32, field.LABEL_OPTIONAL, field.LABEL_REPEATED
    file = descriptor_pb2.FileDescriptorProto(name="projector.proto", package="p", syntax="proto3")
    for message, fields in {
        "Sprite": [("image_path", 1, text, one), ("single_image_dim", 2, number, many)],
        "Embedding": [
            ("tensor_name", 1, text, one),
            ("metadata_path", 2, text, one),
            ("tensor_shape", 4, number, many),
            ("sprite", 5, ".p.Sprite", one),
            ("tensor_path", 6, text, one),
        ],
        "Config": [("embeddings", 2, ".p.Embedding", many)],
    }.items():
        kind = file.message_type.add(name=message)
        for name, place, what, label in fields:
            added = kind.field.add(name=name, number=place, label=label)
            if isinstance(what, str):
                added.type, added.type_name = field.TYPE_MESSAGE, what
            else:
                added.type = what
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    config = message_factory.GetMessageClass(pool.FindMessageTypeByName("p.Config"))
    return text_format.Parse(path.read_text(), config())


def test_the_points_come_back_as_they_were(tmp_path: Path, report: Any) -> None:
    write_projector(tmp_path, report, ROWS, {})
    np.testing.assert_allclose(np.loadtxt(tmp_path / "tensors.tsv", delimiter="\t"), ROWS, rtol=1e-5)


def test_each_point_has_its_label_its_prediction_and_its_path(tmp_path: Path, report: Any) -> None:
    write_projector(tmp_path, report, ROWS, {})
    heading, *lines = (tmp_path / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert heading == "label\tpredicted\tpath"
    assert lines == ["a\ta\ta/0.jpg", "a\tb\ta/1.jpg", "b\tb\tb/2.jpg", "c\tc\tc/3.jpg", "c\tc\tc/4.jpg"]


def test_tabs_and_line_breaks_in_names_make_no_columns_and_no_lines(tmp_path: Path) -> None:
    labels = [*HOSTILE, "a\tb\r\nc\u2028d", "caf\udce9"]
    report = report_of(list(range(6)), list(range(6)), labels)
    write_projector(tmp_path, report, np.zeros((6, 2), np.float32), {})
    content = (tmp_path / "metadata.tsv").read_text(encoding="utf-8")
    assert [line.count("\t") for line in content.splitlines()] == 7 * [2]


def test_the_configuration_names_the_files_and_their_shapes(tmp_path: Path, report: Any) -> None:
    write_projector(tmp_path, report, ROWS, pictures_of(report, tmp_path / "images"))
    (embedding,) = parsed(tmp_path / CONFIG).embeddings
    assert list(embedding.tensor_shape) == [5, 7]
    assert list(embedding.sprite.single_image_dim) == [SIDE, SIDE]
    named = {embedding.tensor_path, embedding.metadata_path, embedding.sprite.image_path, CONFIG}
    assert named == {path.name for path in tmp_path.iterdir() if path.is_file()}


def test_the_sprite_shows_each_image_in_its_place_row_by_row(tmp_path: Path, report: Any) -> None:
    files = {}
    for number, path in enumerate(report.paths):
        files[path] = str(tmp_path / f"{number}.png")
        Image.new("RGB", (300, 200), (40 * number, 0, 0)).save(files[path])
    write_projector(tmp_path / "test", report, ROWS, files)
    sprite = np.array(Image.open(tmp_path / "test" / "sprite.png"))
    assert sprite.shape == (2 * SIDE, 3 * SIDE, 3)
    centres = sprite[SIDE // 2 :: SIDE, SIDE // 2 :: SIDE, 0].ravel()
    assert centres.tolist() == [0, 40, 80, 120, 160, 255]


def test_an_image_that_cannot_be_read_is_left_white(tmp_path: Path) -> None:
    report = report_of([0], [0], ["a", "b"])
    write_projector(tmp_path, report, ROWS[:1], {report.paths[0]: str(tmp_path / "gone.jpg")})
    assert (np.array(Image.open(tmp_path / "sprite.png")) == 255).all()


def test_a_large_test_set_is_thinned_to_what_a_sprite_holds(tmp_path: Path) -> None:
    count = MOST_POINTS + 500
    truth = [int(index >= count // 2) for index in range(count)]
    rows = np.arange(count, dtype=np.float32)[:, None]
    write_projector(tmp_path, report_of(truth, truth, ["a", "b"]), rows, {})
    points = np.loadtxt(tmp_path / "tensors.tsv")
    assert (len(points), points[0], points[-1]) == (MOST_POINTS, 0, count - 1)
    assert max(Image.open(tmp_path / "sprite.png").size) <= 8192


def test_files_of_an_earlier_run_are_replaced(tmp_path: Path, report: Any) -> None:
    write_projector(tmp_path, report, ROWS, {})
    write_projector(tmp_path, report_of([0], [0], ["a", "b"]), ROWS[:1], {})
    assert len((tmp_path / "metadata.tsv").read_text().splitlines()) == 2


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, report: Any) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LegoclfError, match="--summaries_dir: .* name another folder"):
        write_projector(tmp_path / "file" / "test", report, ROWS, {})
