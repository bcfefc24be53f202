"""The pipeline of each kind of source, word for word."""

from fractions import Fraction

import pytest

from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.gstreamer import build_pipeline
from legoclf.jetson.source_uri import SourceUri, parse_source
from legoclf.jetson.v4l2 import Mode

NEWEST = "appsink name=frames drop=1 max-buffers=1 sync=false"
BGRX = "video/x-raw,format=(string)BGRx"
JETSON = ("nvarguscamerasrc", "nvvidconv", "nvv4l2decoder", "omxh264dec")


def laptop(element):
    """Every element but those that JetPack brings."""
    return element not in (*JETSON, "omxh265dec", "v4l2h264dec")


def jetson(element):
    return True


def without(*missing):
    return lambda element: element not in missing


def text(uri, exists, mode=None):
    return build_pipeline(parse_source(uri), exists, mode).text


def test_csi_goes_from_argus_through_nvvidconv_to_bgrx():
    assert text("csi://0", jetson) == (
        "nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),format=(string)NV12,"
        "width=(int)1280,height=(int)720,framerate=(fraction)30/1 ! nvvidconv flip-method=0 ! "
        + BGRX
        + " ! "
        + NEWEST
    )


def test_csi_options_stand_in_the_pipeline():
    made = text("csi://1?width=640&height=480&fps=59.94&flip=2&mode=4&format=NV12", jetson)
    assert made.startswith("nvarguscamerasrc sensor-id=1 sensor-mode=4 ! ")
    assert (
        "width=(int)640,height=(int)480,framerate=(fraction)60000/1001 ! nvvidconv flip-method=2 ! " in made
    )
    assert "nvvidconv flip-method=2 ! video/x-raw,format=(string)NV12 ! " in made


def test_csi_on_a_laptop_is_refused_with_what_to_use():
    with pytest.raises(LegoclfError, match="csi://0: GStreamer has no nvarguscamerasrc .*use /dev/video0"):
        text("csi://0", laptop)


def test_mjpg_is_decoded_by_the_hardware_where_there_is_one():
    made = build_pipeline(parse_source("/dev/video0"), jetson, Mode("MJPG", 1280, 720, Fraction(30)))
    assert made.text == (
        'v4l2src device="/dev/video0" ! image/jpeg,width=(int)1280,height=(int)720,'
        "framerate=(fraction)30/1 ! nvv4l2decoder mjpeg=1 ! nvvidconv ! " + BGRX + " ! " + NEWEST
    )
    assert made.notes == []


def test_mjpg_is_else_decoded_on_the_cpu_and_that_is_said():
    made = build_pipeline(parse_source("/dev/video0"), laptop, Mode("MJPG", 640, 480, Fraction(30)))
    assert " ! jpegdec ! videoconvert ! " + BGRX + " ! " in made.text
    assert made.notes == ["MJPEG is decoded on the CPU by jpegdec: there is no nvv4l2decoder"]


@pytest.mark.parametrize(
    ("fourcc", "name"), [("YUYV", "YUY2"), ("NV12", "NV12"), ("BGR3", "BGR"), ("BGR4", "BGRx")]
)
def test_a_raw_format_that_is_read_is_handed_on_as_it_is(fourcc, name):
    made = text("/dev/video1", laptop, Mode(fourcc, 640, 480, Fraction(15, 2)))
    assert made == (
        'v4l2src device="/dev/video1" ! video/x-raw,format=(string){},width=(int)640,height=(int)480,'
        "framerate=(fraction)15/2 ! {}".format(name, NEWEST)
    )


@pytest.mark.parametrize(("fourcc", "name"), [("UYVY", "UYVY"), ("GREY", "GRAY8"), ("YU12", "I420")])
def test_another_raw_format_is_converted(fourcc, name):
    made = text("/dev/video1", laptop, Mode(fourcc, 640, 480, Fraction(30)))
    assert "format=(string){},".format(name) in made
    assert made.endswith(" ! videoconvert ! " + BGRX + " ! " + NEWEST)


def test_a_camera_that_tells_no_rate_is_asked_for_none():
    assert "framerate" not in text("/dev/video0", laptop, Mode("YUYV", 640, 480, Fraction(0)))


def test_rtsp_has_latency_transport_and_video_only():
    assert text("rtsp://cam/x#latency=250&transport=udp", laptop) == (
        'rtspsrc location="rtsp://cam/x" latency=250 drop-on-latency=true protocols=udp ! '
        "application/x-rtp,media=(string)video ! decodebin ! videoconvert ! " + BGRX + " ! " + NEWEST
    )


def test_rtsp_with_transport_auto_leaves_it_to_gstreamer():
    assert "protocols" not in text("rtsp://cam/x#transport=auto", laptop)


def test_rtsp_in_nvmm_goes_through_nvvidconv():
    assert " ! decodebin ! nvvidconv ! " + BGRX in text("rtsp://cam/x", jetson)


@pytest.mark.parametrize(
    ("exists", "decoder"),
    [
        (jetson, "nvv4l2decoder"),
        (without("nvv4l2decoder"), "omxh264dec"),
        (laptop, "avdec_h264"),
        (lambda element: laptop(element) and element != "avdec_h264", "decodebin"),
    ],
)
def test_a_named_codec_takes_the_best_decoder_there_is(exists, decoder):
    assert " ! rtph264depay ! h264parse ! {} ! ".format(decoder) in text("rtsp://cam/x#codec=h264", exists)


@pytest.mark.parametrize(("codec", "software"), [("h264", "avdec_h264"), ("h265", "avdec_h265")])
def test_decoding_on_the_cpu_is_said_with_what_is_missing(codec, software):
    notes = build_pipeline(parse_source("rtsp://cam/x#codec=" + codec), laptop).notes
    assert len(notes) == 1
    assert notes[0].startswith("{} is decoded on the CPU by {}".format(codec.upper(), software))
    assert "there is no nvv4l2decoder, omx{}dec".format(codec) in notes[0]


def test_http_is_mjpeg_and_its_login_stands_apart():
    assert text("http://me:a%20b%22@cam/video?n=1#timeout=9", laptop) == (
        'souphttpsrc location="http://cam/video?n=1" user-id="me" user-pw="a b\\"" is-live=true timeout=9 ! '
        "multipartdemux single-stream=true ! jpegdec ! videoconvert ! " + BGRX + " ! " + NEWEST
    )


def test_a_file_is_read_without_loss():
    source = SourceUri("file", 'my "best" clip.mp4', {}, "")
    assert build_pipeline(source, laptop).text == (
        'filesrc location="my \\"best\\" clip.mp4" ! decodebin ! videoconvert ! '
        + BGRX
        + " ! appsink name=frames drop=0 max-buffers=2 sync=false"
    )


@pytest.mark.parametrize(
    ("missing", "package"),
    [("rtspsrc", "gstreamer1.0-plugins-good"), ("decodebin", "gstreamer1.0-plugins-base")],
)
def test_a_missing_element_is_named_with_its_package(missing, package):
    with pytest.raises(LegoclfError, match="no element {}: sudo apt install {}".format(missing, package)):
        text("rtsp://cam/x", without(missing, "nvvidconv"))


READABLE = "video/x-raw,format=(string){BGRx,BGR,NV12,YUY2}"


def test_a_pipeline_of_ones_own_gets_an_appsink():
    assert text("gst://videotestsrc", laptop) == (
        "videotestsrc ! videoconvert ! {} ! {}".format(READABLE, NEWEST)
    )


def test_an_appsink_of_ones_own_gets_what_it_lacks():
    made = text("gst://videotestsrc ! appsink", laptop)
    assert made == (
        'videotestsrc ! appsink caps="{}" drop=1 max-buffers=1 name=frames sync=false'.format(READABLE)
    )


def test_what_an_appsink_of_ones_own_has_is_left_alone():
    pipeline = 'videotestsrc ! appsink name=mine drop=0 max-buffers=5 sync=true caps="video/x-raw,format=BGR"'
    made = build_pipeline(parse_source("gst://" + pipeline), laptop)
    assert (made.text, made.sink) == (pipeline, "mine")


def test_an_exclamation_mark_in_quotes_joins_nothing():
    made = text('gst://videotestsrc ! textoverlay text="look! appsink"', laptop)
    assert made.startswith('videotestsrc ! textoverlay text="look! appsink" ! videoconvert ! ')


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ("videotestsrc ! autovideosink", "ends in autovideosink; expected appsink, or no sink"),
        ("videotestsrc ! ", "the pipeline ends in '!'; expected an element"),
        ("appsink", "nothing comes before the appsink"),
    ],
)
def test_a_pipeline_that_cannot_be_read_from_is_refused(pipeline, said):
    with pytest.raises(UsageError, match=said):
        text("gst://" + pipeline, laptop)
