"""`legoclf serve`: what it refuses, what it says aloud, and that it serves until it is told to end."""

import argparse
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any, List

import fake_server
import novel_bundle
import pytest
import tiny_bundle

from legoclf.cli import parse as parse_arguments
from legoclf.errors import UsageError
from legoclf.jetson import serve_command
from legoclf.jetson.serve.binding import Binding


@pytest.fixture(autouse=True)
def _no_token_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEGOCLF_TOKEN", raising=False)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    fake_server.need_packages()
    return tiny_bundle.write_bundle(tmp_path_factory.mktemp("serve") / "x.bundle")


def arguments(*words: str) -> argparse.Namespace:
    return parse_arguments("serve", serve_command, list(words))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--listen", "0.0.0.0:8000"], "can be reached from the network"),
        (["--listen", "example.org:80"], "expected PORT or ADDRESS:PORT"),
        (["--sagemaker", "--listen", "80"], "--sagemaker listens where SageMaker asks"),
        (["--sagemaker", "--token_file", "x"], "--sagemaker listens where SageMaker asks"),
        (["--unknown_below", "1.5"], "--unknown_below: got 1.5, expected 0 to 1"),
        (["--unknown_below", "nan"], "--unknown_below: got nan, expected 0 to 1"),
        (["--rate_per_s", "-1"], "--rate_per_s: got -1.0, expected 0 to"),
        (["--rate_per_s", "nan"], "--rate_per_s: got nan, expected 0 to"),
    ],
)
def test_a_call_that_is_wrong_is_refused_before_anything_is_opened(words: List[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        serve_command.run(arguments("nowhere.bundle", *words))


def test_that_everybody_may_ask_is_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        serve_command.announce(Binding("0.0.0.0", 8000, None), None, "legoclf serve")
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "INSECURE: whoever reaches 0.0.0.0:8000 may use it" in warning.getMessage()


def test_the_token_itself_is_never_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        serve_command.announce(Binding("0.0.0.0", 8000, "0123456789abcdef"), "token.txt", "legoclf serve")
    assert "the token of token.txt" in caplog.text
    assert "0123456789abcdef" not in caplog.text


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_serves_until_a_signal_comes(bundle: str, number: int, code: int) -> None:
    with fake_server.ServerProcess(bundle, ["--listen", "0"]) as server:
        headers = {"Content-Type": "image/jpeg"}
        reply = fake_server.ask(server.port, "POST", "/classify", fake_server.photo(1), headers)
        assert reply.record["images"][0]["label"] == tiny_bundle.labels()[1]
        assert server.stop(number) == code
    assert [line for line in server.lines if "Traceback" in line] == []
    assert any("ONNX Runtime" in line for line in server.lines)


def test_with_a_token_file_it_asks_for_the_token_that_is_in_it(bundle: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    words = ["--listen", "0.0.0.0:0", "--token_file", str(path)]
    with fake_server.ServerProcess(bundle, words) as server:
        headers = {"Authorization": "Bearer " + path.read_text().strip()}
        assert fake_server.ask(server.port, "GET", "/metrics").status == 401
        assert fake_server.ask(server.port, "GET", "/metrics", headers=headers).status == 200


def started(bundle: str, stack: ExitStack, *words: str) -> Any:
    args = arguments(bundle, "--backend", "onnxruntime", *words)
    return serve_command._start(args, Binding("0.0.0.0", 0, None), stack)


@pytest.fixture
def _loopback_is_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a test can ask from is loopback, which has no bounds."""
    from legoclf.jetson.serve import channel, gate

    monkeypatch.setattr(gate, "is_loopback", lambda name: False)
    monkeypatch.setattr(channel, "is_loopback", lambda name: False)


@pytest.mark.usefixtures("_loopback_is_the_network")
@pytest.mark.parametrize(
    ("words", "is_bounded"),
    [
        ((), True),
        (("--rate_per_s", "0"), False),
        (("--sagemaker",), False),
        (("--sagemaker", "--rate_per_s", "5"), True),
    ],
)
def test_an_address_is_bounded_but_for_sagemakers_own(bundle: str, words: Any, is_bounded: bool) -> None:
    with ExitStack() as stack:
        server = started(bundle, stack, *words)
        statuses = {fake_server.ask(server.binding.port, "GET", "/ping").status for _ in range(400)}
    assert statuses == ({200, 429} if is_bounded else {200})


@pytest.mark.parametrize(("words", "label"), [((), "unknown"), (("--no_novelty",), "red")])
def test_no_novelty_gives_a_label_whatever_is_shown(tmp_path: Path, words: Any, label: str) -> None:
    fake_server.need_packages()
    bundle = novel_bundle.write_bundle(tmp_path / "x.bundle")
    photo = fake_server.image_file(novel_bundle.strange(), "PNG")
    args = arguments(bundle, "--backend", "onnxruntime", *words)
    with ExitStack() as stack:
        server = serve_command._start(args, Binding("127.0.0.1", 0, None), stack)
        headers = {"Content-Type": "image/png"}
        reply = fake_server.ask(server.binding.port, "POST", "/classify", photo, headers)
    assert reply.record["images"][0]["label"] == label
