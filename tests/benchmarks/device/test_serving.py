"""The benchmark of the server: what it measures is what it says, on a few small turns."""

import contextlib
import socket
import threading
from typing import Iterator, List

import fake_server
import pytest
import tiny_bundle

from legoclf.benchmarks.device import serving, serving_command
from legoclf.benchmarks.device.callers import ALL_CORES, OWN, Bare, Callers
from legoclf.benchmarks.device.result import Result, load
from legoclf.cli import parse as parse_arguments
from legoclf.errors import LegoclfError, UsageError

fake_server.need_packages()

SERVED = ["POST /classify, a JPEG of 100x100", "POST /classify, a JPEG of 640x480"]


def run(*words: str) -> int:
    args = parse_arguments("benchmark serving", serving_command, list(words))
    args.command_line = ["legoclf", "benchmark", "serving", *words]
    return serving_command.run(args)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_bundle.write_bundle(tmp_path_factory.mktemp("serving") / "x.bundle")


@pytest.fixture(scope="module")
def result(bundle: str, tmp_path_factory: pytest.TempPathFactory) -> Result:
    path = tmp_path_factory.mktemp("result") / "serving.json"
    words = ("--backend", "onnxruntime", "--turns", "3", "--seconds", "0.03", "--clients", "2")
    assert run(bundle, *words, "--output", str(path)) == 0
    return load(str(path))


def test_each_way_has_a_rate_and_the_processors_time_of_each_turn(result: Result) -> None:
    for name in [OWN, ALL_CORES, *SERVED, "GET /healthz"]:
        for series in (name, "the processor's time for one, " + name):
            turns = result.find(series).turns
            assert [len(turn) for turn in turns] == [1, 1, 1]
            assert min(min(turn) for turn in turns) > 0


def test_the_time_of_every_answer_is_kept(result: Result) -> None:
    for name in SERVED:
        turns = result.find("from request to answer, " + name).turns
        assert len(turns) == 3
        assert min(len(turn) for turn in turns) >= 2  # one of each client at least


def test_what_is_served_is_compared_with_each_bare_way(result: Result) -> None:
    bare = [one.name for one in result.series if one.name.startswith("bare")]
    compared = [(ratio.numerator, ratio.denominator) for ratio in result.ratios if ratio.numerator in SERVED]
    assert sorted(compared) == sorted((served, way) for served in SERVED for way in bare)
    assert {ratio.better for ratio in result.ratios} == {"higher"}


def test_by_the_processors_time_the_bare_way_is_the_numerator(result: Result) -> None:
    ratios = [ratio for ratio in result.ratios if ratio.name.endswith("by the processor's time")]
    assert len(ratios) == len(result.ratios) // 2
    assert all(ratio.numerator.startswith("the processor's time for one, bare") for ratio in ratios)


def test_the_notes_tell_the_share_of_the_fastest_bare_way(
    bundle: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle, "--turns", "1", "--seconds", "0.02") == 0
    text = capsys.readouterr().out
    assert "4 clients on the same cores, one image a request" in text
    assert "% of the fastest bare way" in text


def test_the_jpegs_have_the_sizes_that_they_are_called_by(result: Result) -> None:
    assert sorted(result.facts["jpeg_bytes"]) == ["100x100", "640x480"]
    assert 500 < result.facts["jpeg_bytes"]["100x100"] < result.facts["jpeg_bytes"]["640x480"]


def test_a_bare_way_runs_so_many_images_as_it_is_told() -> None:
    made: List[int] = []
    with Callers(2) as callers:
        for way in (Bare(lambda: made.append(1)), Bare(lambda: made.append(1), callers)):
            way.do(5)
    assert len(made) == 10


@contextlib.contextmanager
def canned(answers: List[bytes]) -> Iterator[int]:
    """A server that gives the one connection that it takes these answers, then closes; its port."""
    with contextlib.closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)

        def serve() -> None:
            connection, _ = listening.accept()
            with contextlib.closing(connection):
                for answer in answers:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(listening.getsockname()[1])
        thread.join()


def test_an_answer_that_is_none_ends_the_benchmark() -> None:
    refusal = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
    with contextlib.ExitStack() as stack:
        clients = stack.enter_context(serving.Clients(stack.enter_context(canned([refusal])), 1))
        stack.enter_context(pytest.raises(LegoclfError, match="the server answered: b'HTTP/1.1 503"))
        clients.ask(b"GET / HTTP/1.1\r\n\r\n", 0.1)


def test_a_server_that_goes_away_ends_the_benchmark() -> None:
    with contextlib.ExitStack() as stack:
        clients = stack.enter_context(serving.Clients(stack.enter_context(canned([])), 1))
        stack.enter_context(pytest.raises(LegoclfError, match="the server under load: "))
        clients.ask(b"GET / HTTP/1.1\r\n\r\n", 0.1)


def test_an_answer_that_comes_in_pieces_counts_once_and_to_its_end() -> None:
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"
    with canned([whole]) as port, serving.Clients(port, 1) as clients:
        asked = clients.ask(b"GET / HTTP/1.1\r\n\r\n", 0.0)
    assert len(asked.milliseconds) == 1
    assert asked.rate > 0


@pytest.mark.parametrize(
    ("flag", "value"), [("--turns", "0"), ("--seconds", "0"), ("--seconds", "nan"), ("--clients", "65")]
)
def test_numbers_outside_their_range_are_refused(flag: str, value: str) -> None:
    with pytest.raises(UsageError, match="{}: got ".format(flag)):
        run("x.bundle", flag, value)
