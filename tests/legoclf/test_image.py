"""Image files to upright RGB pixels, and the reasons given for files that are no use."""

import io
import os
import random
import struct
import subprocess
import sys
import zlib

import fake_bombs
import numpy as np
import pytest

from legoclf.errors import ImageError, LegoclfError
from legoclf.image import decode_image, read_image
from legoclf.image_header import exif_orientation, read_header, read_header_of_file

PACKAGES = {"simplejpeg": "simplejpeg", "pillow": "PIL", "opencv": "cv2"}
ALL_FORMATS = ["JPEG", "PNG", "BMP", "WebP"]
ORIENTATION = 0x0112
# What Pillow's own ImageOps.exif_transpose does for each value.
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


@pytest.fixture
def pillow():
    return pytest.importorskip("PIL.Image", reason="Pillow makes the images of this test")


@pytest.fixture
def decode_with(monkeypatch):
    """Decode with one of the packages alone, as if the others were not installed."""

    def decode(package, data, path="photo"):
        pytest.importorskip(PACKAGES[package])
        for other, module in PACKAGES.items():
            if other != package:
                monkeypatch.setitem(sys.modules, module, None)
        try:
            return decode_image(data, path)
        finally:
            monkeypatch.undo()

    return decode


@pytest.fixture
def photo(pillow):
    """An RGB picture of 37 x 26 pixels without any symmetry."""
    y, x = np.mgrid[0:26, 0:37]
    pixels = np.stack([x * 6, y * 9, (x * y) % 256], axis=2).astype(np.uint8)
    return pillow.fromarray(pixels)


def encode(image, image_format, **options):
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    return stream.getvalue()


def reason_of(data, decode=decode_image):
    with pytest.raises(ImageError) as caught:
        decode(data, "photo")
    return caught.value.reason


def png_chunk(name, body):
    return (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) & 0xFFFFFFFF)
    )


def png_claiming(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    )


def exif(pillow, orientation):
    tags = pillow.Exif()
    tags[ORIENTATION] = orientation
    return tags.tobytes()


def needs_pillow_with_libjpeg_turbo():
    features = pytest.importorskip("PIL.features")
    if not features.check("libjpeg_turbo"):
        pytest.skip("this Pillow is built on libjpeg 9, which rounds differently from libjpeg-turbo")


# Pixels


@pytest.mark.parametrize("image_format", ALL_FORMATS)
def test_pixels_are_rgb_uint8_in_rows_and_can_be_written_to(photo, image_format):
    pixels = decode_image(encode(photo, image_format), "photo")
    assert pixels.shape == (26, 37, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable


@pytest.mark.parametrize("package", ["simplejpeg", "opencv"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_jpeg_has_the_same_pixels_whichever_package_decodes_it(
    photo, decode_with, package, progressive, subsampling
):
    needs_pillow_with_libjpeg_turbo()
    data = encode(photo, "JPEG", quality=90, progressive=progressive, subsampling=subsampling)
    np.testing.assert_array_equal(decode_with(package, data), decode_with("pillow", data))


@pytest.mark.parametrize("package", ["simplejpeg", "opencv"])
def test_a_grey_jpeg_has_the_same_pixels_whichever_package_decodes_it(photo, decode_with, package):
    data = encode(photo.convert("L"), "JPEG")
    np.testing.assert_array_equal(decode_with(package, data), decode_with("pillow", data))


@pytest.mark.parametrize("package", ["pillow", "opencv"])
@pytest.mark.parametrize("image_format", ["PNG", "BMP"])
def test_a_lossless_image_comes_back_to_the_bit(photo, decode_with, package, image_format):
    np.testing.assert_array_equal(decode_with(package, encode(photo, image_format)), np.array(photo))


@pytest.mark.parametrize("package", ["pillow", "opencv"])
def test_a_lossless_webp_comes_back_to_the_bit(photo, decode_with, package):
    np.testing.assert_array_equal(decode_with(package, encode(photo, "WebP", lossless=True)), np.array(photo))


@pytest.mark.parametrize("package", ["pillow", "opencv"])
@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_black_and_white_grey_and_palette_become_rgb(photo, decode_with, package, mode):
    image = photo.convert(mode)
    np.testing.assert_array_equal(decode_with(package, encode(image, "PNG")), np.array(image.convert("RGB")))


@pytest.mark.parametrize("package", ["pillow", "opencv"])
def test_of_16_bit_grey_the_high_byte_counts(pillow, decode_with, package):
    grey = np.array([[0, 255, 256], [4660, 65279, 65535]], np.uint16)
    data = encode(pillow.fromarray(grey), "PNG")
    expected = np.repeat((grey >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(decode_with(package, data), expected)


@pytest.mark.parametrize("package", ["pillow", "opencv"])
@pytest.mark.parametrize("image_format", ["PNG", "WebP"])
def test_alpha_is_laid_over_white(pillow, decode_with, package, image_format):
    rgba = np.array([[[0, 0, 0, 0], [200, 100, 0, 255], [0, 0, 0, 128]]], np.uint8)
    data = encode(pillow.fromarray(rgba), image_format, lossless=True)
    expected = [[[255, 255, 255], [200, 100, 0], [127, 127, 127]]]
    np.testing.assert_array_equal(decode_with(package, data), expected)


@pytest.mark.parametrize("package", ["pillow", "opencv"])
def test_grey_with_alpha_is_laid_over_white(pillow, decode_with, package):
    image = pillow.merge("LA", [pillow.new("L", (2, 1), 10), pillow.new("L", (2, 1), 0)])
    assert (decode_with(package, encode(image, "PNG")) == 255).all()


@pytest.mark.parametrize("package", ["pillow", "opencv"])
def test_a_transparent_palette_entry_is_white(pillow, decode_with, package):
    image = pillow.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    image.putpalette([255, 0, 0, 0, 0, 255] + [0] * 762)
    data = encode(image, "PNG", transparency=b"\x00\xff")
    np.testing.assert_array_equal(decode_with(package, data), [[[255, 255, 255], [0, 0, 255]]])


def test_a_transparent_colour_is_white(pillow, decode_with):
    image = pillow.fromarray(np.array([[[9, 9, 9], [200, 0, 0]]], np.uint8))
    data = encode(image, "PNG", transparency=(9, 9, 9))
    np.testing.assert_array_equal(decode_with("pillow", data), [[[255, 255, 255], [200, 0, 0]]])


@pytest.mark.parametrize("package", ["pillow", "opencv"])
def test_a_cmyk_jpeg_shows_its_colours_and_not_their_negative(pillow, decode_with, package):
    orange = pillow.new("RGB", (32, 32), (250, 120, 10))
    pixels = decode_with(package, encode(orange.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(pixels.astype(int) - (250, 120, 10)).max() <= 6


def test_a_cmyk_jpeg_is_decoded_where_everything_is_installed(pillow):
    data = encode(pillow.new("CMYK", (32, 32), (0, 0, 0, 0)), "JPEG")
    assert (decode_image(data, "photo") == 255).all()


def test_an_animation_is_its_first_frame(pillow, photo):
    data = encode(
        photo, "WebP", lossless=True, save_all=True, append_images=[pillow.new("RGB", (37, 26))], duration=40
    )
    np.testing.assert_array_equal(decode_image(data, "photo"), np.array(photo))


# Orientation


@pytest.mark.parametrize("package", ["simplejpeg", "pillow", "opencv"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_stood_upright(pillow, photo, decode_with, package, orientation):
    expected = pillow.fromarray(decode_with(package, encode(photo, "JPEG")))
    if orientation > 1:
        expected = expected.transpose(getattr(pillow, TURNS[orientation]))
    pixels = decode_with(package, encode(photo, "JPEG", exif=exif(pillow, orientation)))
    np.testing.assert_array_equal(pixels, np.array(expected))


@pytest.mark.parametrize("package", ["pillow", "opencv"])
@pytest.mark.parametrize("image_format", ["PNG", "WebP"])
def test_png_and_webp_are_stood_upright_too(pillow, photo, decode_with, package, image_format):
    data = encode(photo, image_format, exif=exif(pillow, 6), lossless=True)
    np.testing.assert_array_equal(decode_with(package, data), np.rot90(np.array(photo), -1))


@pytest.mark.parametrize(("order", "mark"), [("<", b"II*\0"), (">", b"MM\0*")])
@pytest.mark.parametrize(("kind", "letter"), [(3, "H2x"), (4, "I")])
def test_orientation_is_read_in_both_byte_orders_as_short_or_long(order, mark, kind, letter):
    other = struct.pack(order + "HHII", 0x0110, 3, 1, 7)
    entry = struct.pack(order + "HHI" + letter, ORIENTATION, kind, 1, 8)
    data = mark + struct.pack(order + "IH", 8, 2) + other + entry
    assert exif_orientation(data, 0, len(data)) == 8


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_leaves_the_photo_as_it_is(pillow, photo, orientation):
    data = encode(photo, "JPEG", exif=exif(pillow, orientation))
    assert read_header(data, "photo").orientation == 1


def test_cut_exif_data_leaves_the_photo_as_it_is(pillow, photo):
    whole = exif(pillow, 6)
    for length in range(6, len(whole) - 12):
        assert read_header(encode(photo, "JPEG", exif=whole[:length]), "photo").orientation == 1


def test_odd_exif_data_makes_no_package_print_warnings(pillow, photo, tmp_path):
    path = tmp_path / "odd.jpg"
    path.write_bytes(encode(photo, "JPEG", exif=exif(pillow, 6)[:-8]))
    script = (
        "import sys; sys.modules['simplejpeg'] = None\n"
        "from legoclf.image import read_image\n"
        "read_image({!r})".format(str(path))
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", script], cwd=root, stderr=subprocess.PIPE, check=True
    )
    assert done.stderr == b""


# Files that are no use


def test_an_empty_file_is_called_empty():
    assert reason_of(b"") == "empty file (0 bytes)"


@pytest.mark.parametrize("text", [b"a", b"hello\n", b"<!DOCTYPE html>\n<title>404</title>" * 9])
def test_text_with_the_name_of_an_image_is_told_to_be_text(text):
    assert reason_of(text) == "not an image (starts like text)"


def test_bytes_of_no_known_format_are_no_image():
    assert reason_of(bytes(100)) == "not an image (unknown content)"


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"GIF89a", "GIF"),
        (b"II*\0", "TIFF"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypavif", "AVIF"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_a_format_that_is_not_read_is_named_with_those_that_are(start, name):
    expected = "format {} is not supported: use JPEG, PNG, BMP or WebP".format(name)
    assert reason_of(start + bytes(64)) == expected


@pytest.mark.parametrize("package", ["simplejpeg", "pillow", "opencv"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.99])
def test_a_truncated_jpeg_is_found_by_every_package(photo, decode_with, package, progressive, kept):
    data = encode(photo.resize((200, 200)), "JPEG", progressive=progressive)
    cut = data[: int(len(data) * kept)]
    assert reason_of(cut, lambda data, path: decode_with(package, data)) == "truncated"


def test_a_truncated_jpeg_is_not_taken_for_whole_because_of_its_thumbnail(pillow, photo, decode_with):
    thumbnail = encode(photo.resize((8, 8)), "JPEG")
    data = encode(photo, "JPEG", exif=exif(pillow, 1) + thumbnail)
    assert reason_of(data[:-40], lambda data, path: decode_with("opencv", data)) == "truncated"


@pytest.mark.parametrize("package", ["pillow", "opencv"])
@pytest.mark.parametrize("image_format", ["PNG", "BMP", "WebP"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_other_truncated_images_are_found(photo, decode_with, package, image_format, kept):
    data = encode(photo, image_format)
    cut = data[: int(len(data) * kept)]
    assert reason_of(cut, lambda data, path: decode_with(package, data)) == "truncated"


@pytest.mark.parametrize("image_format", ALL_FORMATS)
def test_an_image_cut_inside_its_header_is_truncated(photo, image_format):
    assert reason_of(encode(photo, image_format)[:20]) == "truncated"


def test_a_jpeg_with_lost_pixels_is_unreadable(photo, decode_with):
    data = encode(photo.resize((200, 200)), "JPEG")
    middle = len(data) // 2
    holed = data[:middle] + b"\x55" * 300 + data[middle + 300 :]
    reason = reason_of(holed, lambda data, path: decode_with("simplejpeg", data))
    assert reason.startswith("unreadable: Corrupt JPEG data")


def test_stray_bytes_before_the_end_of_a_jpeg_are_forgiven(photo, decode_with):
    data = encode(photo, "JPEG")
    np.testing.assert_array_equal(
        decode_image(data[:-2] + b"\0\0\0" + data[-2:], "photo"), decode_with("pillow", data)
    )


def test_bytes_after_the_end_of_a_jpeg_are_forgiven(photo):
    data = encode(photo, "JPEG")
    np.testing.assert_array_equal(decode_image(data + b"more", "photo"), decode_image(data, "photo"))


def test_an_image_that_claims_too_many_pixels_is_refused_before_decoding():
    expected = "too large: 50000 x 50000 pixels, at most 178 million"
    assert reason_of(png_claiming(50000, 50000)) == expected


def test_a_jpeg_that_claims_too_many_pixels_is_refused_before_decoding(photo):
    data = bytearray(encode(photo, "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 30000, 30000)
    assert reason_of(bytes(data)) == "too large: 30000 x 30000 pixels, at most 178 million"


def test_a_jpeg_has_the_size_that_a_decoder_finds_though_a_segment_seems_to_hide_it(photo):
    hidden = fake_bombs.image_bombs(encode(photo, "JPEG"))["JPEG that hides its size"]
    header = read_header(hidden, "photo")
    assert (header.width, header.height) == (6000, 6000)


def test_a_png_that_begins_with_another_chunk_is_no_image():
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 6000, 6000, 8, 0, 0, 0, 0))
    decoy = png_chunk(b"tEXt", struct.pack(">II", 8, 8) + bytes(5))
    assert "not an image" in reason_of(b"\x89PNG\r\n\x1a\n" + decoy + header)


def test_no_pixels_are_unreadable():
    assert reason_of(png_claiming(0, 5)) == "unreadable: 0 x 5 pixels"


def test_a_text_that_unpacks_to_more_than_the_image_is_refused(photo, decode_with):
    data = encode(photo, "PNG")
    bomb = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50000000)))
    reason = reason_of(data[:33] + bomb + data[33:], lambda data, path: decode_with("pillow", data))
    assert reason == "too large: its text or colour profile unpacks to over 1 MB"


def test_a_file_that_is_not_there_is_unreadable(tmp_path):
    with pytest.raises(ImageError, match="unreadable: No such file"):
        read_image(str(tmp_path / "gone.jpg"))


def test_the_error_names_the_file(tmp_path):
    path = tmp_path / "blank.jpg"
    path.write_bytes(b"")
    with pytest.raises(ImageError) as caught:
        read_image(str(path))
    assert caught.value.path == str(path)


def test_the_content_counts_and_not_the_extension(photo, tmp_path):
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(encode(photo, "PNG"))
    np.testing.assert_array_equal(read_image(str(path)), np.array(photo))


def test_without_any_decoder_the_error_says_what_to_install(photo, monkeypatch):
    data = encode(photo, "JPEG")
    for module in PACKAGES.values():
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(LegoclfError, match="pip install"):
        decode_image(data, "photo")


@pytest.mark.parametrize(
    ("package", "image_format"), [("simplejpeg", "JPEG")] + [("pillow", name) for name in ALL_FORMATS]
)
def test_random_damage_gives_pixels_or_an_image_error(photo, decode_with, package, image_format):
    data = encode(photo, image_format)
    chance = random.Random(image_format)
    for _ in range(150):
        damaged = bytearray(data[: chance.randint(1, len(data))] if chance.random() < 0.3 else data)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            pixels = decode_with(package, bytes(damaged))
        except LegoclfError:
            continue
        assert pixels.ndim == 3


# Headers of files


def test_a_header_longer_than_the_first_read_is_read_to_its_end(photo, tmp_path):
    data = encode(photo, "JPEG")
    filler = b"\xff\xed" + struct.pack(">H", 65535) + bytes(65533)
    path = tmp_path / "long.jpg"
    path.write_bytes(data[:2] + filler * 3 + data[2:])
    header = read_header_of_file(str(path))
    assert (header.width, header.height) == (37, 26)


@pytest.mark.parametrize("image_format", ALL_FORMATS)
def test_the_header_tells_format_and_size(photo, image_format):
    header = read_header(encode(photo, image_format), "photo")
    assert (header.format, header.width, header.height) == (image_format, 37, 26)


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}])
def test_all_kinds_of_webp_tell_their_size(photo, options):
    for image in (photo, photo.convert("RGBA")):
        header = read_header(encode(image, "WebP", **options), "photo")
        assert (header.width, header.height) == (37, 26)


# Listing
