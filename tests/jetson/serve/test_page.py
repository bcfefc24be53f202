"""The page's routes, over a real server and a real loop whose camera the test steers."""

import contextlib
import http.client
import io
import json
import os
import threading
import time

import fake_page
import pytest
import tiny_bundle
from fake_page import JSON, RunningPage, ask, colour, request, send

from legoclf.image import decode_image
from legoclf.jetson.serve.mjpeg import MOST_STREAMS

fake_page.require_packages()
pytest.importorskip("cv2", reason="pictures are encoded with OpenCV")

LABELS = tiny_bundle.labels()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle.write_bundle(tmp_path_factory.mktemp("page") / "tiny.bundle")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Where pictures go, and where harvested ones lie; outside of both there is a secret."""
    root = tmp_path_factory.mktemp("folders")
    (root / "secret.jpg").write_text("NOT TO BE READ")
    (root / "secret.json").write_text("{}")
    return root


@pytest.fixture(scope="module")
def page(bundle, folders):
    with RunningPage(bundle, str(folders / "photos"), str(folders / "unsure")) as running:
        running.await_answer("red")
        yield running


def files(folder):
    """All files below a folder, with / and from there on."""
    return sorted(
        os.path.relpath(os.path.join(path, name), str(folder)).replace(os.sep, "/")
        for path, _, names in os.walk(str(folder))
        for name in names
    )


@contextlib.contextmanager
def stream(port, viewer=1):
    """A stream that is being read: the response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/stream.mjpg?viewer={}".format(viewer))
    try:
        yield connection.getresponse()
    finally:
        connection.close()


def test_the_page_and_its_parts_are_served_whole_and_load_nothing_from_elsewhere(page):
    status, headers, html = request(page.port, "GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    total = len(html)
    for name in ("page.css", "page.js", "icon.svg"):
        status, headers, body = request(page.port, "GET", "/static/" + name)
        assert status == 200
        assert b"http://" not in body.replace(b"http://www.w3.org/", b"")
        assert b"https://" not in body
        total += len(body)
    assert total < 40000


@pytest.mark.parametrize(
    "path",
    [
        "/static/../page.py",
        "/static/..%2fpage.py",
        "/static/%2e%2e/page.py",
        "/static//etc/passwd",
        "/static/page.py",
        "/harvest/..%2fsecret.jpg",
        "/harvest/../secret.jpg",
        "/harvest/secret.jpg",
        "/harvest/%00.jpg",
    ],
)
def test_no_path_in_a_request_reaches_the_file_system(page, path):
    status, _, body = request(page.port, "GET", path)
    assert status == 404
    assert b"NOT TO BE READ" not in body


def test_about_tells_what_there_is(page):
    about = ask(page.port, "/about")
    assert about["title"] == "tiny.bundle"
    assert about["labels"] == LABELS
    assert [about[name] for name in ("live", "classifies", "captures", "sorts", "harvests")] == [True] * 5


def test_the_state_follows_the_camera(page):
    page.camera.picture = colour(2)
    state = page.await_answer("blue")
    assert state["source"]["state"] == "running"
    assert state["answer"]["size"] == [320, 240]
    assert state["answer"]["top"][0]["label"] == "blue"
    page.camera.picture = colour(0)
    page.await_answer("red")
    changes = ask(page.port, "/state?changes={}".format(state["changes"]["next"]))["changes"]["items"]
    assert [change["label"] for change in changes] == ["red"]


@pytest.mark.parametrize("query", ["changes=-1", "chart=x", "viewer=1e3", "changes=" + "9" * 40])
def test_a_state_that_cannot_be_asked_for_is_refused(page, query):
    assert request(page.port, "GET", "/state?" + query)[0] == 400


def test_the_threshold_holds_for_the_camera_and_for_photos(page):
    assert send(page.port, "/threshold", {"unknown_below": 1})[0] == 200
    assert page.await_answer("unknown")["unknown_below"] == 1
    _, _, jpeg = request(page.port, "GET", "/snapshot.jpg")
    _, _, body = request(page.port, "POST", "/classify", jpeg, {"Content-Type": "image/jpeg"})
    assert json.loads(body.decode("utf-8"))["images"][0]["label"] == "unknown"
    assert send(page.port, "/threshold", {"unknown_below": 0.5})[0] == 200
    page.await_answer("red")


@pytest.mark.parametrize(
    "record",
    [
        {"unknown_below": 1.01},
        {"unknown_below": -0.1},
        {"unknown_below": "0.5"},
        {"unknown_below": True},
        {"unknown_below": None},
        {"unknown_below": 10**400},
        {},
    ],
)
def test_a_threshold_that_is_none_is_refused_and_changes_nothing(page, record):
    assert send(page.port, "/threshold", record)[0] == 400
    assert page.view.unknown_below == 0.5


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"unknown_below": 0.9}', {}, 415),
        (b'{"unknown_below": 0.9}', {"Content-Type": "text/plain"}, 415),
        (b"unknown_below=0.9", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b'{"unknown_below": NaN}', JSON, 400),
        (b"[0.9]", JSON, 400),
        (b"\xff", JSON, 400),
        (b"[" * 4000, JSON, 400),
        (b'{"unknown_below": 0.9' + b" " * 5000 + b"}", JSON, 413),
        (b'{"unknown_below": 0.9}', dict(JSON, Origin="http://elsewhere.example"), 403),
    ],
)
def test_what_a_foreign_page_could_send_and_what_is_no_json_is_refused(page, body, headers, status):
    assert request(page.port, "POST", "/threshold", body, headers)[0] == status
    assert page.view.unknown_below == 0.5


def test_the_picture_that_was_held_is_the_one_that_is_saved(page, folders):
    page.camera.picture = colour(1)
    page.await_answer("green")
    status, headers, jpeg = request(page.port, "GET", "/snapshot.jpg?hold=1")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    page.camera.picture = colour(0)
    page.await_answer("red")
    status, answer = send(page.port, "/label", {"label": "green", "sequence": int(headers["X-Sequence"])})
    assert status == 200
    assert {"label": "green", "count": 1} in answer["classes"]
    saved = (folders / "photos" / answer["saved"]).read_bytes()
    # As it was seen: both are JPEG of one plain colour.
    assert abs(decode_image(saved, "x").astype(int) - decode_image(jpeg, "x")).max() <= 6


@pytest.mark.parametrize(
    ("record", "status"),
    [
        ({"label": "no such class"}, 400),
        ({"label": "../red"}, 400),
        ({"label": "/tmp/red"}, 400),
        ({"label": ""}, 400),
        ({"label": ["red"]}, 400),
        ({"label": "red", "sequence": 10**9}, 410),
        ({"label": "red", "sequence": -1}, 400),
        ({"label": "red", "sequence": "newest"}, 400),
    ],
)
def test_a_label_that_is_no_class_or_of_no_picture_writes_nothing(page, folders, record, status):
    before = files(folders)
    _, headers, _ = request(page.port, "GET", "/snapshot.jpg?hold=1")
    assert send(page.port, "/label", dict({"sequence": int(headers["X-Sequence"])}, **record))[0] == status
    assert files(folders) == before


def test_a_class_button_takes_a_burst(page, folders):
    status, answer = send(page.port, "/capture", {"label": "red"})
    assert (status, answer["saved"], answer["told"]) == (200, 2, "2 saved")
    assert len(files(folders / "photos" / "red")) == 2


def test_only_one_burst_is_taken_at_a_time(page):
    statuses = []

    def take():
        statuses.append(send(page.port, "/capture", {"label": "red"})[0])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200, 409}


@pytest.mark.parametrize("label", ["a/b", "..", "con", "x\ny", "Red", "red", " ", "a" * 256])
def test_a_new_class_that_no_folder_can_be_is_refused(page, label):
    assert send(page.port, "/classes", {"label": label})[0] == 400


def test_a_new_class_may_be_labelled_at_once(page, folders):
    assert send(page.port, "/classes", {"label": "Fenster 2×2"})[0] == 200
    _, headers, _ = request(page.port, "GET", "/snapshot.jpg?hold=1")
    record = {"label": "Fenster 2×2", "sequence": int(headers["X-Sequence"])}
    assert send(page.port, "/label", record)[0] == 200
    assert len(files(folders / "photos" / "Fenster 2×2")) == 1


def put_harvested(folder, number):
    """A harvested picture of the folder; its id."""
    from legoclf.jetson.harvest.folder import HarvestFolder
    from legoclf.jetson.jpeg import encode_jpeg

    stem = "20261125T10203{}000-0123abcd_nohash_000".format(number)
    record = {"time": "2026-11-25T10:20:30Z", "reason": "unknown", "amount": 0.7, "label": "red"}
    record.update(probability=0.3, top=[{"label": "red", "probability": 0.3}])
    with HarvestFolder(str(folder), 10**7) as harvest:
        harvest.add(stem, encode_jpeg(colour(number)), record)
    return stem


def test_harvested_pictures_are_listed_shown_sorted_and_discarded(page, folders):
    first, second = put_harvested(folders / "unsure", 0), put_harvested(folders / "unsure", 1)
    listed = ask(page.port, "/harvest")
    assert [item["id"] for item in listed["items"]] == [second, first]
    assert (listed["items"][0]["label"], listed["items"][0]["probability"]) == ("red", 0.3)
    status, _, jpeg = request(page.port, "GET", "/harvest/{}.jpg".format(first))
    assert status == 200
    assert decode_image(jpeg, "x").shape == (240, 320, 3)
    assert send(page.port, "/harvest/" + first, {"label": "no such class"})[0] == 400
    assert send(page.port, "/harvest/" + first, {"label": "yellow"}) == (200, {"harvested": 1})
    assert files(folders / "photos" / "yellow") == [first + ".jpg"]
    assert send(page.port, "/harvest/" + second, {"discard": True}) == (200, {"harvested": 0})
    assert send(page.port, "/harvest/" + second, {"discard": True})[0] == 404
    assert request(page.port, "GET", "/harvest/{}.jpg".format(first))[0] == 404


def test_there_are_so_many_streams_and_the_state_tells_whose_is_open(page):
    with contextlib.ExitStack() as stack:
        for viewer in range(1, MOST_STREAMS + 1):
            response = stack.enter_context(stream(page.port, viewer))
            assert response.status == 200
            assert response.read(15) == b"--legoclf-frame"
        assert ask(page.port, "/state?viewer=2")["watching"]
        assert not ask(page.port, "/state?viewer=99")["watching"]
        with stream(page.port, 5) as refused:
            assert refused.status == 503
            assert "viewers" in json.loads(refused.read().decode("utf-8"))["error"]
    # A viewer who has gone is noticed when the next picture is sent.
    deadline = time.monotonic() + 20.0
    while ask(page.port, "/state?viewer=2")["watching"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_prometheus_reads_the_loop_and_the_routes(page):
    text = request(page.port, "GET", "/metrics")[2].decode("utf-8")
    assert "\nlegoclf_source_up 1.0\n" in text
    assert '\nlegoclf_requests_total{route="/harvest/<id>.jpg",status="404"}' in text
    assert "passwd" not in text


def test_a_camera_that_is_lost_is_told_and_so_is_that_it_is_back(page):
    page.camera.lose("no frame for 3.0 s")
    deadline = time.monotonic() + 15.0
    while ask(page.port, "/state")["source"]["state"] != "lost":
        assert time.monotonic() < deadline
    assert ask(page.port, "/state")["source"]["error"] == "no frame for 3.0 s"
    assert "1 no picture" in send(page.port, "/capture", {"label": "red"})[1]["told"]
    page.camera.come_back()
    while ask(page.port, "/state")["source"]["state"] != "running":
        assert time.monotonic() < deadline
    assert ask(page.port, "/state")["source"]["reopened"] == 1


def test_streams_that_are_open_do_not_hold_the_end_up(bundle):
    with RunningPage(bundle) as running:
        running.await_answer("red")
        with stream(running.port) as response:
            assert response.read(15) == b"--legoclf-frame"
            running.__exit__(None, None, None)
            rest = io.BytesIO()
            with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
                rest.write(response.read())
        # Ended by the page, and not by time: the last part is whole.
        assert rest.getvalue().endswith(b"\r\n--legoclf-frame\r\nContent-Type: image/jpeg\r\n\r\n")


@pytest.mark.parametrize(
    ("path", "record", "flag"),
    [
        ("/label", {"label": "red", "sequence": 0}, "--capture"),
        ("/capture", {"label": "red"}, "captured"),
        ("/classes", {"label": "x"}, "--capture"),
        ("/harvest/x", {"discard": True}, "--harvest"),
    ],
)
def test_without_a_folder_the_page_says_how_to_give_one(plain_page, path, record, flag):
    status, answer = send(plain_page.port, path, record)
    assert status == 409
    assert flag in answer["error"]


@pytest.fixture(scope="module")
def plain_page(bundle):
    with RunningPage(bundle) as running:
        yield running


def test_before_the_first_picture_the_page_is_there_and_the_picture_is_not(bundle):
    running = RunningPage(bundle)
    running.camera.lose("No such device")
    with running:
        assert ask(running.port, "/state")["source"]["state"] == "opening"
        assert request(running.port, "GET", "/")[0] == 200
        assert request(running.port, "GET", "/stream.mjpg")[0] == 503
        assert request(running.port, "GET", "/snapshot.jpg")[0] == 503
        running.camera.come_back()
        running.await_answer("red")
