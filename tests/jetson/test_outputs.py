"""Where answers go: files, standard output, video, MQTT, a serial port; what is refused, and what fails."""

import csv
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
import types
from collections import namedtuple

import fake_live
import fake_mqtt
import pytest

from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.outputs import make_output, make_outputs

Track = namedtuple("Track", "id box label probability age counted newly_counted is_novel novelty")
RED = Track(7, (1, 2, 3, 4), "a", 0.75, 9, True, True, False, None)
BLUE = Track(8, (5, 6, 7, 8), "unknown", 0.5, 3, False, False, False, None)


def written(spec, results, **settings):
    """Open the output of a specification, write results, close it."""
    with make_output(spec, fake_live.context(**settings)) as output:
        for result in results:
            output.write(result)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("jsonn:x", "got 'jsonn:x', expected one of .*; did you mean jsonl?"),
        ("", "got '', expected one of print, window, jsonl"),
        ("jsonl", "got 'jsonl', expected jsonl:WHERE"),
        ("csv:", "got 'csv:', expected csv:WHERE"),
        ("window:big", "got 'window:big', expected window"),
        ("video:x.mp4?fps=fast", "video: fps: got 'fast', expected a number"),
        ("video:x.mp4?size=3", "video: got the option 'size=3', expected fps=..."),
        ("mqtt:///topic", "mqtt: got no host, expected mqtt://HOST:PORT/TOPIC"),
        ("mqtt://host", "mqtt: topic: got '', expected"),
        ("mqtt://host/a/%23", "mqtt: topic: got 'a/#', expected"),
        ("mqtt://host/a/+", "mqtt: topic: got 'a/\\+', expected"),
        ("mqtt://host:99999/a", "mqtt: the port of .* is no number"),
        ("mqtt://host/a?qos=2", "mqtt: qos: got '2', expected 0 or 1"),
        ("serial:/dev/x?label=d", "serial: label: got 'd', expected one of a, b, c"),
        ("serial:/dev/x?baud=fast", "serial: baud: got 'fast', expected a whole number"),
        ("serial:/dev/x?interval_s=nan", "serial: interval_s: got 'nan', expected seconds"),
        ("serial:/dev/x?color=red", "serial: got the option 'color=red', expected label="),
    ],
)
def test_a_wrong_specification_is_refused(spec, message):
    with pytest.raises(UsageError, match=message):
        make_output(spec, fake_live.context())


def test_the_same_output_twice_is_refused():
    with pytest.raises(UsageError, match="csv:x stands there twice"):
        make_outputs(["csv:x", "print", "csv:x"], fake_live.context())


def test_a_serial_port_may_have_a_trigger_for_each_label():
    specs = ["serial:/dev/x?label=a&send=1", "serial:/dev/x?label=b&send=2"]
    assert len(make_outputs(specs, fake_live.context())) == 2


def test_json_lines_hold_each_result(tmp_path):
    path = tmp_path / "x.jsonl"
    results = [fake_live.result(sequence=3), fake_live.result("unknown", 0.4, 5, steps={"compute": 1.5})]
    written("jsonl:{}".format(path), results)
    first, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z", first.pop("time"))
    assert first == {
        "sequence": 3,
        "age_ms": 20.0,
        "label": "a",
        "probability": 0.9,
        "unknown": False,
        "top": [{"label": "a", "probability": 0.9}, {"label": "c", "probability": 0.05}],
    }
    assert (second["unknown"], second["steps_ms"]) == (True, {"compute": 1.5})


def test_json_lines_hold_novelty_where_there_is_one(tmp_path):
    path = tmp_path / "x.jsonl"
    results = [
        fake_live.result(novelty=0.1234567),
        fake_live.result("unknown", 0.9, novelty=float("inf"), is_novel=True),
    ]
    written("jsonl:{}".format(path), results)
    first, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert (first["novelty"], first["novel"]) == (0.123457, False)
    assert (second["novelty"], second["novel"]) == (None, True)


def test_json_lines_hold_each_object(tmp_path):
    path = tmp_path / "x.jsonl"
    written("jsonl:{}".format(path), [fake_live.result(tracks=[RED])])
    record = json.loads(path.read_text())
    assert record["tracks"] == [
        {
            "id": 7,
            "box": [1, 2, 3, 4],
            "label": "a",
            "probability": 0.75,
            "counted": True,
            "newly_counted": True,
        }
    ]
    assert record["counts"] == {"a": 1, "b": 0}


def test_json_lines_hold_the_novelty_of_each_object_where_there_is_one(tmp_path):
    path = tmp_path / "x.jsonl"
    known, strange = RED._replace(novelty=0.1234567), BLUE._replace(novelty=float("nan"), is_novel=True)
    written("jsonl:{}".format(path), [fake_live.result(tracks=[known, strange])])
    first, second = json.loads(path.read_text())["tracks"]
    assert (first["novelty"], first["novel"]) == (0.123457, False)
    assert (second["novelty"], second["novel"]) == (None, True)


def test_a_csv_has_a_row_for_each_result_below_the_names(tmp_path):
    path = tmp_path / "x.csv"
    label = 'a, "quoted"'
    written("csv:{}".format(path), [fake_live.result(label, sequence=3), fake_live.result("unknown", 0.4)])
    with open(str(path), newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["label"] for row in rows] == [label, "unknown"]
    assert [row["unknown"] for row in rows] == ["0", "1"]
    assert (rows[0]["sequence"], rows[0]["probability"], rows[0]["age_ms"]) == ("3", "0.900000", "20.000")


def test_a_csv_ends_with_the_novelty_where_there_is_one(tmp_path):
    path = tmp_path / "x.csv"
    written("csv:{}".format(path), [fake_live.result(novelty=0.5), fake_live.result(novelty=float("nan"))])
    head, first, second = [line.split(",") for line in path.read_text().splitlines()]
    assert (head[-2:], first[-1], second[-1]) == (["counted", "novelty"], "0.5", "")
    assert len(head) == len(first) == len(second)


def test_a_csv_of_a_network_without_novelty_has_no_column_for_it(tmp_path):
    path = tmp_path / "x.csv"
    written("csv:{}".format(path), [fake_live.result()])
    assert path.read_text().splitlines()[0].endswith(",counted")


def test_a_csv_has_a_row_for_each_object_where_they_are_located(tmp_path):
    path = tmp_path / "x.csv"
    written("csv:{}".format(path), [fake_live.result(tracks=[RED, BLUE]), fake_live.result(tracks=[])])
    with open(str(path), newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["object"], row["label"], row["counted"]) for row in rows] == [
        ("7", "a", "1"),
        ("8", "unknown", "0"),
    ]
    assert [rows[1][name] for name in ("x", "y", "width", "height", "unknown")] == ["5", "6", "7", "8", "1"]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_each_line_is_in_the_file_at_once(kind, tmp_path):
    path = tmp_path / "x"
    with make_output("{}:{}".format(kind, path), fake_live.context()) as output:
        output.write(fake_live.result())
        assert path.read_text().endswith("\n")


@pytest.mark.parametrize("spec", ["jsonl:{}.jsonl", "csv:{}.csv", "video:{}.avi"])
def test_a_file_that_exists_is_refused_and_left_as_it_is(spec, tmp_path):
    spec = spec.format(tmp_path / "x")
    path = spec.partition(":")[2]
    with open(path, "w") as stream:
        stream.write("precious")
    with pytest.raises(LegoclfError, match="exists already; name another file, or --overwrite"):
        written(spec, [])
    with open(path) as stream:
        assert stream.read() == "precious"


def test_a_file_that_exists_is_replaced_if_that_is_wanted(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("old\n" * 1000)
    written("jsonl:{}".format(path), [fake_live.result()], overwrite=True)
    assert len(path.read_text().splitlines()) == 1


def test_a_folder_that_is_not_there_is_refused_at_once(tmp_path):
    with pytest.raises(LegoclfError, match="cannot be written: No such file or directory"):
        written("csv:{}".format(tmp_path / "no" / "x.csv"), [])


def test_a_full_disk_is_told(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with pytest.raises(OSError, match="No space left"):
        written("jsonl:/dev/full", [fake_live.result()])


def test_a_disk_that_fills_leaves_no_part_of_a_line_and_goes_on_when_there_is_room():
    # The system's limit on a file's size: it, too, takes a part of a line and refuses the rest.
    program = (
        "import resource, sys\n"
        "from legoclf.jetson.output_files import LineFile\n"
        "path = sys.argv[1]\n"
        "file = LineFile(path, False)\n"
        "file.open()\n"
        "def limit(size): resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))\n"
        "limit(100)\n"
        "failed = 0\n"
        "for number in range(4):\n"
        "    if number == 3: limit(1000)\n"
        "    try: file.write(str(number) * 39 + '\\n')\n"
        "    except OSError: failed += 1\n"
        "sys.exit(failed)"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.jsonl")
        assert subprocess.call([sys.executable, "-c", program, path], cwd=folder) == 1
        with open(path) as stream:
            assert [line[0] for line in stream] == ["0", "1", "3"]


def test_standard_output_gets_utf8_whatever_the_locale():
    program = (
        "import fake_live\n"
        "from legoclf.jetson.outputs import make_output\n"
        "make_output('jsonl:-', fake_live.context()).write(fake_live.result('St\\u00e4bchen'))"
    )
    path = os.pathsep.join([os.path.dirname(fake_live.__file__), os.environ.get("PYTHONPATH", "")])
    environment = dict(os.environ, LC_ALL="C", PYTHONIOENCODING="ascii", PYTHONPATH=path)
    done = subprocess.check_output(
        [sys.executable, "-c", program], env=environment, cwd=tempfile.gettempdir()
    )
    assert json.loads(done.decode("utf-8"))["label"] == "Stäbchen"


def test_the_answer_is_printed_when_it_changes():
    context = fake_live.context()
    with make_output("print", context) as output:
        for label in ("a", "a", "b", "b", "a"):
            output.write(fake_live.result(label))
    assert [line.split()[1] for line in context.terminal.lines] == ["a", "b", "a"]


def test_what_is_novel_is_printed_with_what_it_is_most_like():
    context = fake_live.context()
    with make_output("print", context) as output:
        output.write(fake_live.result("unknown", 0.97, top=[("a", 0.97)], novelty=3.0, is_novel=True))
    assert context.terminal.lines[0].endswith("  unknown, most like a  97.0%")


def test_an_object_is_printed_when_it_is_counted():
    context = fake_live.context()
    with make_output("print", context) as output:
        output.write(fake_live.result(tracks=[RED, BLUE]))
    assert [line.split()[1:3] for line in context.terminal.lines] == [["a", "#7"]]


def frames_of(path):
    cv2 = pytest.importorskip("cv2", reason="videos are read with OpenCV")
    video = cv2.VideoCapture(str(path))
    pictures = []
    while True:
        there_is, picture = video.read()
        if not there_is:
            return pictures
        pictures.append(picture)


def filmed(path, results, **settings):
    pytest.importorskip("cv2", reason="videos are written with OpenCV")
    written("video:{}?fps=10".format(path), results, **settings)
    return frames_of(path)


def shot(number, captured_at=0.0, height=48, width=64):
    picture = fake_live.picture(40 * number, height, width)
    result = fake_live.result(sequence=number, captured_at=captured_at)
    return result._replace(frame=result.frame._replace(image=picture))


@pytest.mark.parametrize("ending", [".avi", ".mp4"])
def test_a_video_has_each_frame_of_a_file_once(ending, tmp_path):
    frames = filmed(tmp_path / ("x" + ending), [shot(number) for number in range(6)], is_live=False)
    corners = [frame[-1, -1].mean() for frame in frames]
    # 12 levels: what the codec loses on a plain picture, and less than the 40 that lie between frames.
    assert corners == pytest.approx([0, 40, 80, 120, 160, 200], abs=12)


def test_a_video_of_a_camera_runs_as_fast_as_the_world_did(tmp_path):
    # At 10 a second: the second frame lasts for four, and the fourth comes too early to be shown.
    times = [0.0, 0.1, 0.5, 0.52, 0.6]
    frames = filmed(tmp_path / "x.avi", [shot(number, at) for number, at in enumerate(times)])
    corners = [frame[-1, -1].mean() for frame in frames]
    assert corners == pytest.approx([0, 40, 40, 40, 40, 80, 160], abs=12)


def test_a_camera_that_was_away_does_not_fill_the_video(tmp_path):
    frames = filmed(tmp_path / "x.avi", [shot(0, 0.0), shot(1, 3600.0), shot(2, 3600.1)])
    assert len(frames) == 3


def test_the_answer_is_drawn_into_the_video(tmp_path):
    bright = [shot(0, height=120, width=160)]
    frame = filmed(tmp_path / "x.avi", bright, is_live=False)[0]
    assert frame[:40].max() > 100
    assert bright[0].frame.image.max() == 0


def test_frames_of_another_size_fit_the_video(tmp_path):
    frames = filmed(tmp_path / "x.avi", [shot(0), shot(4, height=96, width=128)], is_live=False)
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 2


def test_a_video_of_an_unknown_kind_is_refused(tmp_path):
    pytest.importorskip("cv2", reason="asked for before the ending")
    with pytest.raises(LegoclfError, match="got the ending '.gif', expected .avi, .mkv, .mp4"):
        written("video:{}".format(tmp_path / "x.gif"), [])


def test_objects_are_drawn_with_their_boxes():
    pytest.importorskip("cv2", reason="drawn with OpenCV")
    from legoclf.jetson.overlay import draw

    track = RED._replace(box=(40, 60, 50, 30))
    picture = draw(fake_live.picture(0, 120, 160), fake_live.result(tracks=[track]))
    assert picture[65:90, 40].max(axis=1).min() > 100  # the left side of the box
    assert picture[65:85, 45:85].max() == 0  # and nothing within


def test_what_is_novel_is_drawn_without_a_percentage_that_would_be_taken_for_its_own():
    pytest.importorskip("cv2", reason="drawn with OpenCV")
    from legoclf.jetson.overlay import draw

    pictures = [
        draw(fake_live.picture(0, 120, 160), fake_live.result("unknown", share, top=[], is_novel=True))
        for share in (0.97, 0.12)
    ]
    assert (pictures[0] == pictures[1]).all()
    assert pictures[0].max() > 100


class Screen(types.ModuleType):
    """OpenCV's windows, without a display."""

    WINDOW_NORMAL, WND_PROP_VISIBLE = 0, 4

    def __init__(self):
        super().__init__("cv2")
        self.shown, self.key, self.visible = [], -1, 1.0

    def getBuildInformation(self):
        return "  GUI:                           GTK3\n"

    def namedWindow(self, title, flags):
        self.shown.append("opened")

    def destroyWindow(self, title):
        self.shown.append("destroyed")

    def imshow(self, title, picture):
        self.shown.append(picture)

    def waitKey(self, ms):
        return self.key

    def getWindowProperty(self, title, name):
        return self.visible


@pytest.fixture
def screen(monkeypatch):
    monkeypatch.setattr("legoclf.jetson.output_window.check_display", lambda: None)
    monkeypatch.setattr("legoclf.jetson.output_window.draw", lambda picture, result: picture)
    screen = Screen()
    monkeypatch.setitem(sys.modules, "cv2", screen)
    return screen


@pytest.mark.parametrize("key", [ord("q"), 27])
def test_a_key_in_the_window_ends_the_run(key, screen):
    context = fake_live.context()
    with make_output("window", context) as output:
        output.write(fake_live.result())
        assert not context.stop.is_set()
        screen.key = key
        output.idle()
    assert context.stop.is_set()
    assert screen.shown[0] == "opened"
    assert screen.shown[-1] == "destroyed"


def test_closing_the_window_ends_the_run_and_does_not_open_it_again(screen):
    context = fake_live.context()
    with make_output("window", context) as output:
        output.write(fake_live.result())
        screen.visible = 0.0
        output.write(fake_live.result())
    assert context.stop.is_set()
    assert len(screen.shown) == 2


def test_a_window_without_a_display_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", Screen())
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(
        LegoclfError, match="there is no display here .* or take print, jsonl:- or video:FILE"
    ):
        make_output("window", fake_live.context()).__enter__()


def test_a_window_without_an_opencv_that_has_windows_is_one_clear_line(monkeypatch):
    screen = Screen()
    screen.getBuildInformation = lambda: "  GUI:                           NONE\n    GUI widgets:    NO\n"
    monkeypatch.setitem(sys.modules, "cv2", screen)
    with pytest.raises(LegoclfError, match="built without windows"):
        make_output("window", fake_live.context()).__enter__()


@pytest.fixture
def port():
    """A serial port: its path, and a function that gives what was sent within a moment."""
    pytest.importorskip("termios", reason="serial ports are those of Unix")
    ours, theirs = os.openpty()
    path = os.ttyname(theirs)
    os.close(theirs)

    def received():
        data = b""
        while select.select([ours], [], [], 0.05)[0]:
            data += os.read(ours, 1000)
        return data

    yield path, received
    os.close(ours)


def sent(port, options, results):
    path, received = port
    with make_output("serial:{}?{}".format(path, options), fake_live.context()) as output:
        for result in results:
            output.write(result)
        return received()


def write_all(output, results):
    for result in results:
        output.write(result)


def answers(*labels, step_s=1.0):
    return [fake_live.result(label, captured_at=number * step_s) for number, label in enumerate(labels)]


def test_the_trigger_is_sent_when_the_answer_becomes_the_label(port):
    assert sent(port, "label=b&send=go", answers("a", "b", "b", "b", "a", "b")) == b"gogo"


def test_the_trigger_is_not_sent_again_within_the_interval(port):
    flicker = answers("b", "a", "b", "a", "b", "a", "b", step_s=0.1)
    assert sent(port, "label=b&send=!&interval_s=0.5", flicker) == b"!!"


def test_without_a_label_each_answer_is_sent(port):
    assert sent(port, "", answers("a", "b", "a")) == b"a\nb\na\n"


def test_bytes_are_written_as_asked(port):
    assert sent(port, "label=a&send=%FF%00%0A\\r\\\\n", answers("a")) == b"\xff\x00\n\r\\n"


def test_the_trigger_is_sent_for_each_object_that_is_counted(port):
    results = [fake_live.result(tracks=[RED, BLUE, RED._replace(id=9)]), fake_live.result(tracks=[])]
    assert sent(port, "label=a&send=x", results) == b"xx"


def test_a_port_that_does_not_exist_is_refused():
    with pytest.raises(LegoclfError, match="/dev/nothing: cannot be opened: No such file"):
        written("serial:/dev/nothing", [])


def test_a_file_that_is_no_port_is_refused(tmp_path):
    path = tmp_path / "x"
    path.write_text("")
    with pytest.raises(LegoclfError, match="is no serial port"):
        written("serial:{}".format(path), [])


def test_a_speed_that_there_is_not_is_refused(port):
    with pytest.raises(UsageError, match="baud: got 12345, expected one such as 9600"):
        written("serial:{}?baud=12345".format(port[0]), [])


def test_a_port_that_went_away_is_opened_again(tmp_path):
    pytest.importorskip("termios", reason="serial ports are those of Unix")
    link = tmp_path / "port"
    first, first_end = os.openpty()
    link.symlink_to(os.ttyname(first_end))
    with make_output("serial:{}?interval_s=0".format(link), fake_live.context()) as output:
        os.close(first_end)
        os.close(first)
        with pytest.raises(OSError):
            output.write(fake_live.result("a", captured_at=1))
        link.unlink()
        second, second_end = os.openpty()
        link.symlink_to(os.ttyname(second_end))
        output.write(fake_live.result("b", captured_at=2))
        assert os.read(second, 100) == b"b\n"
    os.close(second)
    os.close(second_end)


def test_a_port_that_takes_nothing_is_told_and_not_waited_for(port):
    spec = "serial:{}?interval_s=0&send={}".format(port[0], "x" * 4000)
    # Nobody reads: the system keeps some thousand bytes, and then no more.
    with make_output(spec, fake_live.context()) as output, pytest.raises(
        LegoclfError, match="no data for 1 s"
    ):
        write_all(output, answers(*"ab" * 50))


@pytest.fixture
def paho():
    return pytest.importorskip("paho.mqtt.client", reason="messages are sent with paho-mqtt")


def wait_until_connected(caplog, count=1):
    """Until the log says so so often; what the broker has seen does not tell that."""
    deadline = time.monotonic() + 20
    while sum("connected" in message for message in caplog.messages) < count:
        assert time.monotonic() < deadline, "no connection"
        time.sleep(0.005)


def opened(broker, user=""):
    return make_output("mqtt://{}127.0.0.1:{}/x".format(user, broker.port), fake_live.context())


def published(broker, options, results, caplog):
    spec = "mqtt://127.0.0.1:{}/lego/answers{}".format(broker.port, options)
    with caplog.at_level("INFO"), make_output(spec, fake_live.context()) as output:
        wait_until_connected(caplog)
        for result in results:
            output.write(result)


def test_each_result_is_a_message(paho, caplog):
    with fake_mqtt.Broker() as broker:
        published(broker, "", answers("a", "a", "b"), caplog)
        assert broker.wait_for(3)
    assert [json.loads(message.payload.decode("utf-8"))["label"] for message in broker.messages] == [
        "a",
        "a",
        "b",
    ]
    assert {message[0] for message in broker.messages} == {"lego/answers"}
    assert broker.errors == []


def test_closing_sends_what_waits_and_says_goodbye(paho, caplog):
    with fake_mqtt.Broker() as broker:
        published(broker, "?qos=1", answers(*"ab" * 100), caplog)
        assert broker.wait_for(200)
        broker._thread.join(0.5)
    assert broker.said_goodbye
    assert len(broker.messages) == 200


def test_changes_alone_are_sent_if_that_is_asked(paho, caplog):
    with fake_mqtt.Broker() as broker:
        published(broker, "?on=change&qos=1&retain=1", answers("a", "a", "b", "b"), caplog)
        assert broker.wait_for(2)
    assert [(message.qos, message.retain) for message in broker.messages] == [(1, True)] * 2


def test_the_password_is_taken_from_the_environment(paho, caplog, monkeypatch):
    monkeypatch.setenv("LEGOCLF_MQTT_PASSWORD", "geheim")
    with fake_mqtt.Broker() as broker, caplog.at_level("INFO"), opened(broker, "me@"):
        wait_until_connected(caplog)
    assert broker.credentials == ("me", "geheim")


def test_a_password_is_not_shown():
    output = make_output("mqtt://me:geheim@host:99/x", fake_live.context())
    assert output.name == "mqtt://host:99/x"


def test_without_a_broker_results_are_lost_and_nothing_waits(paho):
    with fake_mqtt.Broker() as broker:
        pass  # a port where nobody listens
    with opened(broker) as output, pytest.raises(LegoclfError, match="no connection to the broker"):
        output.write(fake_live.result())


def test_a_broker_that_vanished_is_found_again(paho, caplog, monkeypatch):
    monkeypatch.setattr("legoclf.jetson.output_mqtt.RECONNECT_S", (1, 1))
    with fake_mqtt.Broker() as broker, caplog.at_level("INFO"), opened(broker) as output:
        wait_until_connected(caplog)
        broker.vanish()
        with fake_mqtt.Broker(broker.port) as again:
            wait_until_connected(caplog, 2)
            output.write(fake_live.result())
            assert again.wait_for(1)


def test_a_broker_that_refuses_is_told_once(paho, caplog):
    with fake_mqtt.Broker(code=5) as broker, caplog.at_level("INFO"), opened(broker):
        deadline = time.monotonic() + 20
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.005)
    assert re.match("output mqtt://.*: the broker refuses the connection: ", caplog.messages[0])


def test_without_paho_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    monkeypatch.setitem(sys.modules, "paho", None)
    with pytest.raises(LegoclfError, match=r"pip install 'legoclf\[mqtt\]'"):
        make_output("mqtt://host/x", fake_live.context()).__enter__()
