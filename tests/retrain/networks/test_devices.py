"""What is trained on is detected and said in a line; training that is shared gives the curve of one machine.

No machine that runs these tests has TPUs or several GPUs: a TPU is asked for through TensorFlow's real
resolver, which fails; two devices are two of the CPU's; two machines are two processes.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import shared_training

from legoclf.errors import LegoclfError, UsageError
from legoclf.retrain.networks import devices
from legoclf.retrain.networks.devices import Devices, choose_strategy


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the environment that tells of a TPU or of other machines."""
    for variable in ("TF_CONFIG", "TPU_NAME", "COLAB_TPU_ADDR", "KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS"):
        monkeypatch.delenv(variable, raising=False)


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, shared_training.__file__, *arguments]
    return subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result_of(process: subprocess.Popen[str]) -> Any:
    try:
        out, error = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 0, error
    return json.loads(out.splitlines()[-1])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def alone_and_on_two_devices() -> list[dict[str, Any]]:
    """Two trainings of one process."""
    results: list[dict[str, Any]] = result_of(start("alone_and_on_two_devices"))
    return results


@pytest.fixture(scope="module")
def alone(alone_and_on_two_devices: list[dict[str, Any]]) -> dict[str, Any]:
    """The training that was not shared."""
    return alone_and_on_two_devices[0]


def assert_same(shared: dict[str, Any], alone: dict[str, Any]) -> None:
    """Sums of float32 in another order differ in the last digits, and 36 steps carry that on."""
    for one, other in zip(shared["curve"], alone["curve"], strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    assert shared["size"] == pytest.approx(alone["size"], rel=1e-5)


def test_the_training_that_is_shared_learns(alone: dict[str, Any]) -> None:
    assert alone["curve"][-1][0] < 0.8 * alone["curve"][0][0]


def test_two_devices_give_the_curve_of_one(alone_and_on_two_devices: list[dict[str, Any]]) -> None:
    alone, shared = alone_and_on_two_devices
    assert_same(shared, alone)


def test_two_machines_give_the_curve_of_one(alone: dict[str, Any]) -> None:
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    both = [
        start(
            TF_CONFIG=json.dumps(
                {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            )
        )
        for index in range(2)
    ]
    results = [result_of(process) for process in both]
    assert [result["share"] for result in results] == [[0, 2], [1, 2]]
    assert "as machine 2 of 2 (TF_CONFIG)" in results[1]["line"]
    for result in results:
        assert_same(result, alone)


def test_a_machine_without_any_accelerator_trains_on_its_cpu() -> None:
    chosen = choose_strategy()
    assert chosen.line.startswith("training on the CPU (")
    assert chosen.is_chief


@pytest.mark.parametrize(
    ("variable", "value"), [("TPU_NAME", "grpc://127.0.0.1:1"), ("COLAB_TPU_ADDR", "127.0.0.1:1")]
)
def test_a_tpu_that_does_not_answer_is_told_of_and_done_without(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    expected = f"; {variable} tells of a TPU, but it cannot be used (no answer from 127.0.0.1:1)"
    assert choose_strategy().line.endswith(expected)


def test_a_tpu_that_was_asked_for_must_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TPU_NAME", "grpc://127.0.0.1:1")
    with pytest.raises(LegoclfError, match="--device tpu: TPU_NAME tells of a TPU, but it cannot be used"):
        choose_strategy("tpu")


def test_a_device_file_without_a_tpu_behind_it_is_done_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """TensorFlow's own start of the TPU system fails, and the CPU trains on."""
    (tmp_path / "accel0").touch()
    monkeypatch.setattr(devices, "_TPU_FILES", str(tmp_path / "accel*"))
    line = choose_strategy().line
    assert line.startswith("training on the CPU")
    assert f"; {tmp_path}/accel0 tells of a TPU, but it cannot be used (" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("tpu", "nothing tells of a TPU"),
        ("gpu", "TensorFlow sees no GPU"),
        ("npu", "expected auto, cpu, gpu, tpu"),
    ],
)
def test_a_device_that_is_not_there_is_refused(device: str, message: str) -> None:
    with pytest.raises(LegoclfError, match=f"--device {device}: .*{message}"):
        choose_strategy(device)


def test_a_tpu_is_not_asked_for_with_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(UsageError, match="--device tpu: TF_CONFIG names machines"):
        choose_strategy("tpu")


def test_a_batch_smaller_than_the_number_of_devices_is_refused() -> None:
    class Strategy:
        num_replicas_in_sync = 4

    with pytest.raises(UsageError, match="a batch of 3 images .* among 4 devices: give --train_batch_size 4"):
        Devices(Strategy(), "").check_batch_size(3)
