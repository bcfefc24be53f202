"""What a source's URI means, and what is said of one that is wrong."""

import os

import pytest

from legoclf.errors import UsageError
from legoclf.jetson.source_uri import hide_password, parse_source


def test_a_csi_camera_has_its_options_and_defaults():
    source = parse_source("csi://1?width=1920&height=1080&fps=29.97&flip=2&mode=3")
    assert (source.kind, source.target, source.is_live) == ("csi", "1", True)
    assert source.options == {
        "width": 1920, "height": 1080, "fps": 29.97, "flip": 2, "mode": 3, "format": "BGRx",
    }  # fmt: skip


@pytest.mark.parametrize("uri", ["/dev/video2", "v4l2:///dev/video2", "v4l2://2"])
def test_a_v4l2_camera_goes_by_device_uri_or_number(uri):
    source = parse_source(uri)
    assert (source.kind, source.target, source.is_live) == ("v4l2", "/dev/video2", True)


def test_a_device_takes_options_without_a_scheme():
    options = parse_source("/dev/video0?width=1280&height=720&fps=60&format=mjpg").options
    assert options == {"width": 1280, "height": 720, "fps": 60.0, "format": "MJPG"}


def test_a_device_by_its_persistent_name_is_a_camera():
    path = "/dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920-video-index0"
    assert parse_source(path).target == path


def test_of_a_network_camera_the_query_is_its_own_and_the_fragment_ours():
    source = parse_source("rtsp://10.0.0.9:554/stream?channel=1&latency=5#latency=300&transport=udp")
    assert (source.kind, source.target) == ("rtsp", "rtsp://10.0.0.9:554/stream?channel=1&latency=5")
    assert source.options == {"latency": 300, "transport": "udp", "codec": ""}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_mjpeg_stream_is_one_over_http(scheme):
    source = parse_source(scheme + "://cam.local/video#timeout=9")
    assert (source.kind, source.target) == ("http", scheme + "://cam.local/video")
    assert source.options == {"timeout": 9}


def test_a_path_is_a_video_an_image_or_a_folder_by_what_stands_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkdir("photos")
    for name in ("clip.mp4", "100%25.mkv", "brick.PNG"):
        open(name, "w").close()
    found = {name: parse_source(name) for name in ("clip.mp4", "100%25.mkv", "brick.PNG", "photos")}
    assert {name: (one.kind, one.target, one.is_live) for name, one in found.items()} == {
        "clip.mp4": ("file", "clip.mp4", False),
        "100%25.mkv": ("file", "100%25.mkv", False),
        "brick.PNG": ("images", "brick.PNG", False),
        "photos": ("images", "photos", False),
    }


def test_a_file_uri_is_percent_decoded(tmp_path):
    path = str(tmp_path / "my clip.mp4")
    open(path, "w").close()
    source = parse_source("file://" + path.replace(" ", "%20"))
    assert (source.kind, source.target) == ("file", path)


def test_a_file_in_dev_shm_is_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/dev/shm/clip.mp4")
    assert parse_source("/dev/shm/clip.mp4").kind == "file"


def test_a_pipeline_stays_as_it_is_written():
    source = parse_source("gst://videotestsrc ! video/x-raw, width=640 ! appsink")
    assert (source.kind, source.target) == ("gst", "videotestsrc ! video/x-raw, width=640 ! appsink")


def test_frames_from_memory_are_640x480_at_30_a_second():
    source = parse_source("synthetic://")
    assert source.options == {"width": 640, "height": 480, "fps": 30.0, "format": "BGR", "frames": 0}


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("", "the source is empty; expected one such as csi://0"),
        ("usb://0", "unknown scheme usb://; expected one of csi://"),
        ("csi://", "the sensor is ''; expected its number, as in csi://0"),
        ("csi://left", "the sensor is 'left'; expected its number"),
        ("csi://0?widht=640", "unknown option 'widht'; csi takes width, height, fps, flip, mode, format"),
        ("csi://0?width=wide", "width='wide'; expected 16 to 16384"),
        ("csi://0?width=99999", "width='99999'; expected 16 to 16384"),
        ("csi://0?width=640&width=320", "the option 'width' is there twice"),
        ("csi://0?fps=0", "fps='0'; expected a rate above 0"),
        ("csi://0?fps=1e3", "fps='1e3'; expected a rate"),
        ("csi://0?flip=8", "flip='8'; expected nvvidconv's flip-method, 0 to 7"),
        ("csi://0?format=RGB", "format='RGB'; expected one of BGRx, NV12"),
        ("/dev/video0?width=640", "give height too, or neither"),
        ("/dev/video0?format=M", "format='M'; expected a V4L2 pixel format"),
        ("v4l2://video0", "the device is 'video0'; expected one such as v4l2:///dev/video0"),
        ("rtsp://", "the host is missing; expected rtsp://host:port/path"),
        ("rtsp://cam:99999/x", "Port out of range"),
        ("rtsp://cam/x#latency=-1", "latency='-1'; expected milliseconds, 0 to 60000"),
        ("rtsp://cam/x#transport=quic", "transport='quic'; expected one of tcp, udp, auto"),
        ("rtsp://cam/a b", "has a space, quote or backslash in it; write it percent-encoded"),
        ("nowhere.mp4", "there is no such file or folder"),
        ("file://clip.mp4", "file:// takes a whole path"),
        ("gst://", "the pipeline is missing"),
        ("synthetic://disk?fps=1", "synthetic:// takes options only"),
        ("synthetic://?format=JPEG", "format='JPEG'; expected one of BGR, BGRx, NV12, YUYV"),
        ("clip\0.mp4", "has a zero byte"),
    ],
)
def test_what_is_wrong_is_named_with_its_mend_in_one_line(uri, said):
    with pytest.raises(UsageError) as error:
        parse_source(uri)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("password", ["secret", "p@ss"])
def test_a_password_is_neither_shown_nor_said(password):
    uri = "rtsp://admin:{}@cam/stream".format(password)
    assert parse_source(uri).shown == "rtsp://admin:***@cam/stream"
    with pytest.raises(UsageError) as error:
        parse_source(uri + "#lag=1")
    assert password not in str(error.value)


def test_a_password_is_taken_out_of_what_a_library_says():
    source = parse_source("http://admin:se%20cret@cam/stream")
    said = 'souphttpsrc user-pw="se cret" failed for http://admin:se%20cret@cam/stream'
    assert hide_password(said, source) == 'souphttpsrc user-pw="***" failed for http://admin:***@cam/stream'
