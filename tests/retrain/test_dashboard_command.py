"""`legoclf dashboard`: the real TensorBoard on real logs, on a loopback port, until a signal comes."""

import argparse
import json
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from page_process import PageProcess
from small_report import report_of

from legoclf.convert.frozen import import_tensorflow
from legoclf.errors import LegoclfError, UsageError
from legoclf.retrain import dashboard_command, flags
from legoclf.retrain.heads import Evaluation
from legoclf.retrain.local_page import free_port
from legoclf.retrain.seen import Summaries, write_results


def run(*words: str) -> int:
    """The command in this process, as far as it comes."""
    parser = argparse.ArgumentParser()
    dashboard_command.add_arguments(parser)
    return dashboard_command.run(parser.parse_args([*words, "--no_browser"]))


@pytest.fixture(scope="module")
def _tensorboard() -> None:
    pytest.importorskip("tensorboard.program", reason="TensorBoard is shown")


def log(folder: Path) -> None:
    """Two points of a training."""
    with Summaries(folder) as summaries:
        for step in (0, 10):
            summaries.add(Evaluation(step, 0.5, 0.7, 0.4, 0.8))


def log_results(folder: Path) -> None:
    """What a training ends with: a graph, pictures, and points of the projector."""
    graph_def = import_tensorflow().compat.v1.GraphDef()
    graph_def.node.add(name="input", op="Placeholder")
    report = report_of([0, 1], [0, 0], ["a", "b"])
    write_results(folder, graph_def, report, np.ones((2, 3), np.float32), {})


def once(found: Callable[[], bool]) -> bool:
    """Whether that becomes so: TensorBoard looks for logs every few seconds."""
    ends = time.monotonic() + 60
    while not found() and time.monotonic() < ends:
        time.sleep(0.1)
    return found()


def test_its_folder_is_where_retrain_writes_its_logs() -> None:
    assert str(dashboard_command.DEFAULT_FOLDER) == flags.DEFAULT_PLACES["summaries_dir"]


@pytest.fixture(scope="module")
def shown(_tensorboard: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProcess]:
    """The command on a folder with logs, once it has told its address: TensorBoard takes seconds to start."""
    folder = tmp_path_factory.mktemp("logs")
    log(folder)
    log_results(folder)
    with PageProcess(["dashboard", str(folder), "--port", "0"], folder) as page:
        page.address()
        yield page


def test_it_shows_the_curves_of_a_training(shown: PageProcess) -> None:
    assert b"TensorBoard" in shown.get("/")
    assert once(lambda: {"train", "validation"} <= set(json.loads(shown.get("/data/runs"))))
    (point, _) = json.loads(shown.get("/data/plugin/scalars/scalars?tag=accuracy_1&run=train"))
    assert point[1:] == [0, 0.5]


@pytest.mark.parametrize("tab", ["scalars", "images", "graphs", "projector"])
def test_it_has_a_tab_for_all_that_a_training_logs(tab: str, shown: PageProcess) -> None:
    assert once(lambda: json.loads(shown.get("/data/plugins_listing"))[tab]["enabled"])


def test_the_projector_has_the_points_of_the_test_images(shown: PageProcess) -> None:
    assert once(lambda: json.loads(shown.get("/data/plugin/projector/runs")) == ["test"])
    (embedding,) = json.loads(shown.get("/data/plugin/projector/info?run=test"))["embeddings"]
    name = quote(embedding["tensorName"])
    points = np.frombuffer(shown.get(f"/data/plugin/projector/tensor?run=test&name={name}"), np.float32)
    assert points.tolist() == [1.0] * 6


def test_where_there_are_logs_it_tells_its_address_and_no_more(shown: PageProcess) -> None:
    (line,) = shown.lines
    assert re.fullmatch(r"TensorBoard on \S+: http://localhost:\d+/ \(Ctrl-C ends it\)\n", line)


@pytest.mark.usefixtures("_tensorboard")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_it_waits_for_a_training_and_ends_at_a_signal(number: int, code: int, tmp_path: Path) -> None:
    with PageProcess(["dashboard", str(tmp_path), "--port", "0"], tmp_path) as page:
        address = page.address()
        assert page.lines[0].endswith("no logs yet: the page fills once a training writes there\n")
        log(tmp_path)
        assert once(lambda: sorted(json.loads(page.get("/data/runs"))) == ["train", "validation"])
        told = len(page.lines)
        assert page.stop(number) == code
        assert page.lines[told:] == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=5).close()


@pytest.mark.usefixtures("_tensorboard")
def test_listening_on_the_network_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with dashboard_command.tensorboard_page(tmp_path, "0.0.0.0", free_port("0.0.0.0", 0, 0)):
        pass
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert warning.getMessage().startswith("INSECURE: whoever reaches http://0.0.0.0:")


def test_a_folder_that_is_not_there_is_refused_with_the_flag_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gone: no such folder; name the --summaries_dir that `legoclf retr"):
        run(str(tmp_path / "gone"))


def test_without_tensorboard_the_extra_that_brings_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(LegoclfError, match=r"'tensorboard' is not installed; .* 'legoclf\[seen\]'"):
        run(str(tmp_path))
