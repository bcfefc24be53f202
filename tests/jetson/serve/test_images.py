"""What a request holds becomes images, or a short refusal; never more memory or time than the limits say."""

import base64
import json
import threading
from typing import Any, Dict, List, Tuple

import fake_bombs
import fake_server
import numpy as np
import pytest
import tiny_bundle

from legoclf.jetson.runtime import Answers
from legoclf.jetson.serve import images
from legoclf.jetson.serve.images import BadRequest, Limits, decode, read_checked_header, read_images

LIMITS = Limits()
#: What is too much in these lies where no decoder looks.
HARMLESS = ("PNG that unpacks to 64 MB more", "JPEG of 100 000 markers")

FORM = "multipart/form-data; boundary=x"


def refusal(kind: str, body: bytes, limits: Limits = LIMITS) -> Tuple[int, str]:
    with pytest.raises(BadRequest) as raised:
        read_images(kind, body, limits)
    return raised.value.status, str(raised.value)


def form(*parts: Tuple[str, bytes]) -> bytes:
    """Parts of a form by their Content-Disposition, without its first word."""
    head = "--x\r\nContent-Disposition: form-data; {}\r\nContent-Type: image/jpeg\r\n\r\n"
    made = b"".join(head.format(what).encode("utf-8") + data + b"\r\n" for what, data in parts)
    return made + b"--x--\r\n"


def as_json(**record: Any) -> bytes:
    return json.dumps(record).encode("utf-8")


def opened(name: str, data: bytes) -> np.ndarray:
    """An image's pixels, as the server comes to them."""
    read_checked_header(name, data, LIMITS)
    return decode(name, data)


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    noise = np.random.RandomState(1).randint(0, 256, (60, 80, 3)).astype(np.uint8)
    return fake_server.image_file(noise)


@pytest.mark.parametrize(
    "kind", ["image/jpeg", "IMAGE/PNG; x=y", "application/octet-stream", "application/x-image", ""]
)
def test_a_body_is_one_image_whatever_it_is_called(kind: str) -> None:
    assert read_images(kind, b"data", LIMITS) == [("image", b"data")]


def test_the_content_type_that_curl_gives_by_itself_is_taken_for_an_image() -> None:
    assert read_images("application/x-www-form-urlencoded", b"data", LIMITS) == [("image", b"data")]


def test_json_has_images_or_instances() -> None:
    text = base64_of(b"data")
    for body in (as_json(images=[text]), as_json(instances=[{"b64": text}]), as_json(instances=[text])):
        assert read_images("application/json; charset=utf-8", body, LIMITS) == [("image 0", b"data")]


def test_a_form_has_an_image_in_each_file() -> None:
    body = form(
        ('name="a"; filename="1.jpg"', b"one"), ('name="b"', b"3"), ('name="c"; filename="ü.jpg"', b"\r\n")
    )
    assert read_images(FORM, body, LIMITS) == [("1.jpg", b"one"), ("ü.jpg", b"\r\n")]


def test_what_stands_before_and_behind_a_form_is_left_out() -> None:
    body = b"preamble\r\n" + form(('filename="1"', b"one")) + b"epilogue"
    assert read_images(FORM, body, LIMITS) == [("1", b"one")]


def test_a_boundary_may_be_quoted() -> None:
    body = form(('filename="1"', b"one"))
    assert read_images('multipart/form-data; charset=x; boundary="x"', body, LIMITS) == [("1", b"one")]


@pytest.mark.parametrize("name", fake_bombs.EVIL_NAMES)
def test_the_name_of_a_file_is_text_to_be_shown(name: str) -> None:
    ((found, _),) = read_images(FORM, form(('filename="{}"'.format(name), b"")), LIMITS)
    assert found.isprintable()
    assert len(found) <= 4 * 200


@pytest.mark.parametrize(
    ("kind", "body", "status", "said"),
    [
        ("image/jpeg", b"", 400, "an empty body"),
        ("text/html", b"x", 415, "Content-Type text/html: expected image/jpeg"),
        ("a\x1b[2j", b"x", 415, "Content-Type a\\x1b[2j"),
        ("application/json", b"{", 400, "no JSON"),
        ("application/json", b"\xff\xfe{\0}\0", 400, "no JSON"),
        ("application/json", b"[]", 400, "expected {"),
        ("application/json", b'{"images": "x"}', 400, "expected {"),
        ("application/json", b'{"images": []}', 400, "no image in the request"),
        ("application/json", b'{"images": [7]}', 400, "image 0: expected base64 text"),
        ("application/json", b'{"images": [{"b64": 7}]}', 400, "image 0: expected base64 text"),
        ("application/json", b'{"images": ["\\ud800"]}', 400, "image 0: no base64"),
        ("application/json", b'{"images": ["YQ==", "?"]}', 400, "image 1: no base64"),
        ("multipart/form-data", b"x", 400, "without a boundary"),
        ("multipart/form-data; boundary=" + "x" * 71, b"x", 400, "without a boundary"),
        (FORM, b"x", 400, "a form that does not end"),
        (FORM, form()[:-4], 400, "a form that does not end"),
        (FORM, form(), 400, "no image in the request"),
        (FORM, form(('name="a"', b"1")), 400, "no image in the request"),
        (FORM, b"--x\r\nno header\r\n--x--", 400, "part 0 of the form is damaged"),
        (FORM, b"--x\r\nA: " + b"a" * 5000 + b"\r\n\r\n\r\n--x--", 400, "part 0 of the form is damaged"),
    ],
)
def test_what_cannot_be_read_is_told(kind: str, body: bytes, status: int, said: str) -> None:
    found, text = refusal(kind, body)
    assert found == status
    assert said in text


def test_too_many_images_are_refused() -> None:
    few = LIMITS._replace(images=2)
    parts = [('filename="1"', b"one")] * 3
    assert refusal(FORM, form(*parts), few)[0] == 413
    assert refusal("application/json", as_json(images=["YQ=="] * 3), few)[0] == 413
    assert len(read_images(FORM, form(*parts[:2]), few)) == 2


def test_a_number_in_json_is_never_worked_out() -> None:
    # 3.6 would take minutes for these digits, and hold up every thread meanwhile.
    body = b'{"images": ["YQ=="], "top_k": ' + b"9" * 10**6 + b"}"
    assert read_images("application/json", body, LIMITS) == [("image 0", b"a")]


@pytest.mark.parametrize("name", ["json: nested", "json: empty objects", "form: 100 000 parts"])
def test_a_body_that_would_unpack_to_a_lot_is_refused_unread(name: str, jpeg: bytes) -> None:
    assert refusal(*fake_bombs.bodies(jpeg)[name])[0] == 413


def test_a_form_of_line_ends_is_one_part(jpeg: bytes) -> None:
    ((_, data),) = read_images(*fake_bombs.bodies(jpeg)["form: line ends"], limits=LIMITS)
    assert len(data) == 1000002


@pytest.mark.parametrize("name", sorted(fake_bombs.image_bombs(b"\xff\xc0\0\0" + b"\0" * 9 + b"\xff\xda")))
def test_an_image_bomb_is_refused_or_harmless(name: str, jpeg: bytes) -> None:
    data = fake_bombs.image_bombs(jpeg)[name]
    if name in HARMLESS:
        assert opened(name, data).shape in ((64, 64, 3), (60, 80, 3))
        return
    with pytest.raises(BadRequest) as raised:
        opened(name, data)
    assert raised.value.status in (400, 413)


def test_an_image_of_too_many_pixels_is_refused_by_its_header(jpeg: bytes) -> None:
    with pytest.raises(BadRequest, match="80 x 60 pixels, at most 0.0047 million"):
        read_checked_header("x", jpeg, LIMITS._replace(pixels=4700))
    assert read_checked_header("x", jpeg, LIMITS._replace(pixels=4800)).width == 80


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"<html>", b"\xff\xd8\xff", b"\0" * 100])
def test_what_is_no_image_is_told(data: bytes) -> None:
    with pytest.raises(BadRequest) as raised:
        read_checked_header("image 3", data, LIMITS)
    assert raised.value.status == 400
    assert str(raised.value).startswith("image 3: ")


def test_a_truncated_image_is_told(jpeg: bytes) -> None:
    with pytest.raises(BadRequest, match="x: truncated"):
        decode("x", jpeg[:-200])


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_pixels_are_blue_green_red(kind: str) -> None:
    pixels = decode("x", fake_server.photo(0, kind))
    assert pixels.flags["C_CONTIGUOUS"]
    assert pixels[0, 0].tolist() == tiny_bundle.plain(0)[0, 0].tolist()[::-1]


def test_without_opencv_the_pixels_are_the_same(monkeypatch: pytest.MonkeyPatch, jpeg: bytes) -> None:
    rgb = np.random.RandomState(2).randint(0, 256, (5, 7, 3)).astype(np.uint8)
    expected = images._to_bgr(rgb)
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    np.testing.assert_array_equal(images._to_bgr(rgb), expected)


class Gauge(object):
    """A runtime that notes how many frames, and of what size, are with it at once."""

    labels = ("a", "b")
    parallel = 2

    def __init__(self) -> None:
        self.now: Dict[int, int] = {}
        self.most: Dict[int, int] = {}
        self.prepared: List[Tuple[int, ...]] = []
        self._lock = threading.Lock()

    def prepare(self, frame: Any) -> Any:
        self.prepared.append(frame.image.shape[:2])
        return frame

    def answer(self, frame: Any) -> Any:
        size = frame.image.size
        with self._lock:
            self.now[size] = self.now.get(size, 0) + 1
            self.most[size] = max(self.most.get(size, 0), self.now[size])
        threading.Event().wait(0.05)
        with self._lock:
            self.now[size] -= 1
        return SEEN


SEEN = Answers(np.array([[0.75, 0.25]], np.float32))


def classify_at_once(classifier: Any, data: bytes, count: int) -> List[Any]:
    """What so many threads get, that ask at the same time: a label, or a status."""
    found: List[Any] = []

    def run() -> None:
        try:
            found.append(classifier.answers([("x", data)], 1)[0]["label"])
        except BadRequest as error:
            found.append(error.status)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_the_network_has_no_more_at_once_than_it_can_use(jpeg: bytes) -> None:
    from legoclf.jetson.serve.classifier import Classifier

    runtime = Gauge()
    assert classify_at_once(Classifier(runtime, LIMITS, 0.0), jpeg, 6) == ["a"] * 6
    assert list(runtime.most.values()) == [2]


def test_more_requests_than_have_a_place_are_told_to_come_again(jpeg: bytes) -> None:
    from legoclf.jetson.serve.classifier import Classifier

    found = classify_at_once(Classifier(Gauge(), LIMITS, 0.0), jpeg, 30)
    assert set(found) == {"a", 503}
    assert found.count("a") >= 8


def test_large_images_are_held_one_at_a_time(monkeypatch: pytest.MonkeyPatch, jpeg: bytes) -> None:
    from legoclf.jetson.serve import classifier

    monkeypatch.setattr(classifier, "LARGE_PIXELS", 80 * 60 - 1)
    runtime = Gauge()
    found = classify_at_once(classifier.Classifier(runtime, LIMITS, 0.0), jpeg, 3)
    assert found == ["a"] * 3
    assert list(runtime.most.values()) == [1]
    assert runtime.prepared[-1] == (1, 1)  # and none is kept


def test_after_its_end_nothing_gets_to_the_runtime(monkeypatch: pytest.MonkeyPatch, jpeg: bytes) -> None:
    from legoclf.jetson.serve import classifier

    monkeypatch.setattr(classifier, "MOST_SECONDS", 0.0)
    runtime = Gauge()
    with classifier.Classifier(runtime, LIMITS, 0.0) as opened:
        pass
    assert classify_at_once(opened, jpeg, 2) == [503, 503]
    assert runtime.most == {}


def test_less_likely_than_the_threshold_is_unknown() -> None:
    from legoclf.jetson.serve.classifier import Classifier

    classifier = Classifier(Gauge(), LIMITS, 0.8)
    answer = classifier.answer("x", SEEN, 2)
    assert (answer["label"], answer["unknown"]) == ("unknown", True)
    assert [each["label"] for each in answer["top"]] == ["a", "b"]
    assert "novelty" not in answer
    assert "novel" not in answer


@pytest.mark.parametrize(("is_novel", "label"), [(True, "unknown"), (False, "a"), (None, "a")])
def test_what_is_novel_is_unknown_however_likely_and_its_novelty_is_told(is_novel: Any, label: str) -> None:
    from legoclf.jetson.serve.classifier import Classifier

    novel = None if is_novel is None else np.array([is_novel])
    seen = SEEN._replace(novelty=np.array([1.5], np.float32), is_novel=novel)
    answer = Classifier(Gauge(), LIMITS, 0.0).answer("x", seen, 2)
    assert (answer["label"], answer["novelty"], answer["novel"]) == (label, 1.5, bool(is_novel))
    assert answer["unknown"] is bool(is_novel)
    assert answer["top"][0]["label"] == "a"
