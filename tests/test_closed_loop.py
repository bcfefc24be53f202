"""From the device back to training: capture, train, watch, harvest, label on the page, train again, run.

Every step is the command that a user gives, as a process of its own; the camera is a file.
"""

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fake_camera
import numpy as np
import pytest
import tf_modules
from PIL import Image

pytest.importorskip("bottle", reason="the page is served")

RED, BLUE = (200, 30, 30), (30, 60, 200)
#: Of a brick that the first training has not seen; it is red to whoever labels it.
PURPLE = (75, 52, 155)
SIDE = 96


def paint(path: Path, colour: tuple[int, int, int], seed: int) -> None:
    """A PNG of one colour under a light that differs from place to place, so that none looks like another."""
    random = np.random.default_rng(seed)
    light = Image.fromarray(random.integers(110, 255, (4, 4), dtype=np.uint8))
    light = light.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    levels = np.array(colour) * (np.asarray(light, np.float64)[:, :, None] / 200)
    levels += random.normal(0, 6, (SIDE, SIDE, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(path)


def film(folder: Path, colour: tuple[int, int, int], pictures: int, seed: int) -> Path:
    """A folder of pictures that stands for a camera."""
    for number in range(pictures):
        paint(folder / f"{number:03d}.png", colour, seed + number)
    return folder


def legoclf(folder: Path, *arguments: object) -> str:
    """Run a command in a folder; what it printed."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "legoclf", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def capture(folder: Path, label: str, camera: Path) -> None:
    taken = ("--label", label, "--every_s", 0, "--min_sharpness", 0, "--keep_duplicates")
    legoclf(folder, "capture", "bricks", *taken, "--source", camera)


def train(folder: Path, module: Path) -> None:
    places = {"bottleneck_dir": "features", "output_graph": "graph.pb", "output_labels": "labels.txt"}
    places |= {"summaries_dir": "logs", "checkpoint_path": "checkpoint"}
    flags = [f"--{flag}={folder / name}" for flag, name in places.items()]
    # What the page sorts within a few seconds is one group, and might else come into the test set as a whole.
    flags += ["--testing_percentage=0", "--validation_percentage=0"]
    legoclf(folder, "retrain", "--image_dir", "bricks", "--tfhub_module", module, *flags)


def answers(folder: Path, camera: Path) -> list[str]:
    """What the camera command says of each picture of a film."""
    told = legoclf(folder, "camera", "--source", camera, "--unknown_below", 0, "--output", "jsonl:-")
    return [json.loads(line)["label"] for line in told.splitlines()]


@contextmanager
def watched(folder: Path, *arguments: object) -> Iterator[int]:
    """`legoclf camera --serve`, as long as the block runs: the port of its page."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    call = ["camera", "--serve", port, *arguments]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "legoclf", *map(str, call)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield port
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
    finally:
        process.kill()
        process.communicate()


def ask(port: int, method: str, path: str, record: Any = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        body = None if record is None else json.dumps(record)
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    assert answer.status == 200, content
    return json.loads(content)


def harvested(port: int) -> list[Any]:
    """What the page lists to be sorted; none while it does not answer yet."""
    try:
        found: list[Any] = ask(port, "GET", "/harvest")["items"]
    except OSError:
        return []
    return found


def test_what_the_model_was_unsure_of_teaches_the_next_one(tmp_path: Path) -> None:
    fake_camera.require_gstreamer("multifilesrc", "pngdec")
    module = tf_modules.colour_module(tmp_path / "colour_module")
    capture(tmp_path, "red", film(tmp_path / "film_red", RED, 24, 0))
    capture(tmp_path, "blue", film(tmp_path / "film_blue", BLUE, 24, 100))
    train(tmp_path, module)
    unseen = film(tmp_path / "film_purple", PURPLE, 24, 200)
    assert answers(tmp_path, unseen).count("red") <= 12

    # The same film over and over, as a camera that does not end.
    camera = (
        f"gst://multifilesrc location={unseen}/%03d.png loop=true caps=image/png,framerate=12/1 ! pngdec "
        "! videoconvert"
    )
    doubt = ("--harvest", "unsure", "--harvest_below", 1, "--harvest_every_s", 0.1)
    with watched(tmp_path, "--source", camera, "--capture", "bricks", *doubt) as port:
        deadline = time.monotonic() + 60
        while len(harvested(port)) < 12 and time.monotonic() < deadline:
            time.sleep(0.2)
        items = harvested(port)
        assert len(items) >= 12
        for item in items:
            ask(port, "POST", f"/harvest/{item['id']}", {"label": "red"})
    assert len(list((tmp_path / "bricks" / "red").iterdir())) >= 24 + 12

    train(tmp_path, module)
    assert answers(tmp_path, unseen).count("red") >= 22
