"""The REST routes, asked over HTTP on the real server: images in, answers out, and nothing else."""

import base64
import json
from pathlib import Path
from typing import Any, Dict, Iterator

import fake_server
import novel_bundle
import pytest
import tiny_bundle

fake_server.need_packages()

LABELS = tiny_bundle.labels()
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_bundle.write_bundle(tmp_path_factory.mktemp("app") / "x.bundle")


@pytest.fixture(scope="module")
def server(bundle: str) -> Iterator[fake_server.Running]:
    with fake_server.serving(bundle) as running:
        yield running


def classify(server: fake_server.Running, body: bytes, query: str = "", **headers: str) -> fake_server.Reply:
    return fake_server.ask(server.port, "POST", "/classify" + query, body, headers or JPEG)


@pytest.mark.parametrize("label", range(len(LABELS)))
def test_an_image_gets_its_label(server: fake_server.Running, label: int) -> None:
    (answer,) = classify(server, fake_server.photo(label)).record["images"]
    assert answer["label"] == LABELS[label]
    assert answer["probability"] == max(each["probability"] for each in answer["top"])
    assert answer["unknown"] is False


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP"])
def test_other_formats_are_told_by_their_content(server: fake_server.Running, kind: str) -> None:
    record = classify(server, fake_server.photo(2, kind)).record
    assert record["images"][0]["label"] == LABELS[2]


def test_several_images_are_answered_in_their_order(server: fake_server.Running) -> None:
    texts = [base64.b64encode(fake_server.photo(label)).decode("ascii") for label in (3, 0, 2)]
    body = json.dumps({"images": texts}).encode("ascii")
    answers = classify(server, body, **{"Content-Type": "application/json"}).record["images"]
    assert [answer["label"] for answer in answers] == [LABELS[label] for label in (3, 0, 2)]
    assert [answer["name"] for answer in answers] == ["image 0", "image 1", "image 2"]


def test_a_form_of_files_is_answered_by_their_names(server: fake_server.Running) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n'
    body = b"".join(head % name + fake_server.photo(1) + b"\r\n" for name in (b"a.jpg", "ü".encode("utf-8")))
    reply = classify(server, body + b"--x--\r\n", **{"Content-Type": "multipart/form-data; boundary=x"})
    assert [each["name"] for each in reply.record["images"]] == ["a.jpg", "ü"]


@pytest.mark.parametrize(
    ("query", "count"), [("", 3), ("?top_k=1", 1), ("?top_k=100", 4), ("?top_k=2&x=y", 2)]
)
def test_so_many_labels_are_given_as_are_asked_for(
    server: fake_server.Running, query: str, count: int
) -> None:
    assert len(classify(server, fake_server.photo(), query).record["images"][0]["top"]) == count


@pytest.mark.parametrize("top_k", ["0", "101", "-1", "x", "", "1.5", "%C2%B2", "9" * 5000, "%00"])
def test_a_number_of_labels_that_is_none_is_refused(server: fake_server.Running, top_k: str) -> None:
    reply = classify(server, fake_server.photo(), "?top_k=" + top_k)
    assert (reply.status, reply.record) == (400, {"error": "top_k: expected a number from 1 to 100"})


def test_the_threshold_may_change_while_it_runs(server: fake_server.Running) -> None:
    server.classifier.unknown_below = 1.1
    try:
        answer = classify(server, fake_server.photo()).record["images"][0]
    finally:
        server.classifier.unknown_below = 0.0
    assert (answer["label"], answer["unknown"]) == ("unknown", True)
    assert answer["top"][0]["label"] == LABELS[0]


def test_what_is_too_strange_for_the_bundle_is_unknown(tmp_path: Path) -> None:
    with fake_server.serving(novel_bundle.write_bundle(tmp_path / "x.bundle")) as running:
        answers = [
            classify(running, photo).record["images"][0]
            for photo in (fake_server.image_file(novel_bundle.strange(), "PNG"), fake_server.photo(0, "PNG"))
        ]
    assert [each["label"] for each in answers] == ["unknown", LABELS[0]]
    assert answers[0]["novelty"] == pytest.approx(3.783, abs=1e-3)
    assert answers[0]["probability"] > 0.99


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "image/jpeg", 400),
        (b"no image", "image/jpeg", 400),
        (b"{}", "application/json", 400),
        (b"x", "text/plain", 415),
        (b"x", "multipart/form-data; boundary=x", 400),
    ],
)
def test_a_refusal_is_json_with_its_reason(
    server: fake_server.Running, body: bytes, kind: str, status: int
) -> None:
    reply = classify(server, body, **{"Content-Type": kind})
    assert reply.status == status
    assert list(reply.record) == ["error"]
    assert reply.headers["content-type"] == "application/json"


def test_healthz_tells_that_it_lives(server: fake_server.Running) -> None:
    reply = fake_server.ask(server.port, "GET", "/healthz")
    assert (reply.status, reply.record) == (200, {"status": "ok", "labels": 4})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/nothing", 404),
        ("GET", "/classify", 405),
        ("PUT", "/classify", 405),
        ("POST", "/healthz", 405),
        ("TRACE", "/healthz", 405),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/static/../../model.json", 404),
        ("GET", "/%00", 404),
        ("GET", "/%ff", 404),
    ],
)
def test_what_there_is_not_is_refused_as_json(
    server: fake_server.Running, method: str, path: str, status: int
) -> None:
    reply = fake_server.ask(server.port, method, path)
    assert reply.status == status
    assert list(reply.record) == ["error"]


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/nothing", "/classify"])
def test_every_answer_tells_browsers_to_load_guess_and_keep_nothing(
    server: fake_server.Running, path: str
) -> None:
    headers = fake_server.ask(server.port, "GET", path).headers
    assert headers["content-security-policy"].startswith("default-src 'self'; frame-ancestors 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


def test_head_is_get_without_its_body(server: fake_server.Running) -> None:
    reply = fake_server.ask(server.port, "HEAD", "/healthz")
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["content-length"]) > 0


def test_a_fault_of_the_program_is_told_without_its_traceback(
    server: fake_server.Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("secret /path")

    monkeypatch.setattr(server.classifier.runtime, "answer", fail)
    reply = classify(server, fake_server.photo())
    assert (reply.status, reply.record) == (500, {"error": "internal error"})


def test_a_request_to_another_name_of_this_machine_gets_nothing(server: fake_server.Running) -> None:
    headers: Dict[str, str] = {"Host": "evil.example", "Content-Type": "image/jpeg"}
    assert classify(server, fake_server.photo(), **headers).status == 421


@pytest.fixture(scope="module")
def guarded(bundle: str) -> Iterator[fake_server.Running]:
    with fake_server.serving(bundle, token="0123456789abcdef") as running:
        yield running


@pytest.mark.parametrize("path", ["/classify", "/metrics", "/invocations", "/ping", "/", "/nothing"])
def test_with_a_token_nothing_is_told_without_it(guarded: fake_server.Running, path: str) -> None:
    assert fake_server.ask(guarded.port, "GET", path).status == 401


def test_a_browser_logs_in_and_goes_on_with_its_cookie(guarded: fake_server.Running) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = fake_server.ask(guarded.port, "POST", "/login", b"token=0123456789abcdef", form)
    assert reply.status == 303
    cookie = {"Cookie": reply.headers["set-cookie"].partition(";")[0]}
    assert fake_server.ask(guarded.port, "GET", "/metrics", headers=cookie).status == 200
