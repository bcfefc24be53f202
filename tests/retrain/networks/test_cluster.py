"""TF_CONFIG is checked before TensorFlow sees it, and machines that do not come are named."""

import json
import socket
import threading

import pytest

from legoclf.errors import LegoclfError
from legoclf.retrain.networks.cluster import Cluster, cluster_of_environment, parse_cluster, wait_for_peers

TWO = ["10.0.0.1:2222", "10.0.0.2:2222"]


def config(cluster: object = None, **task: object) -> str:
    return json.dumps({"cluster": cluster or {"worker": TWO}, "task": task or {"type": "worker", "index": 1}})


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_machines_are_counted_from_the_chief() -> None:
    cluster = parse_cluster(config({"worker": TWO, "chief": ["10.0.0.9:2222"]}))
    assert cluster == Cluster(["10.0.0.9:2222", *TWO], 2)


def test_an_index_written_as_a_string_is_taken() -> None:
    assert parse_cluster(config(type="worker", index="0")) == Cluster(TWO, 0)


@pytest.mark.parametrize("text", ["", "  ", "{}", config({"worker": TWO[:1]}, type="worker", index=0)])
def test_one_machine_is_no_cluster(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    assert cluster_of_environment() is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{'cluster': 1}", "is no JSON"),
        ("[1]", "is no JSON object"),
        (config(["10.0.0.1:2222"]), "no object of lists"),
        (config({"worker": "10.0.0.1:2222"}), "no object of lists"),
        (config({"worker": ["10.0.0.1"]}), "'10.0.0.1': expected host:port"),
        (config({"worker": ["10.0.0.1:99999", TWO[1]]}), "'10.0.0.1:99999': expected host:port"),
        (config({"worker": [5, 6]}), "has the address 5"),
        (config({"worker": [TWO[0], TWO[0]]}), "names an address twice"),
        (config({"worker": TWO, "ps": ["10.0.0.3:2222"]}), "names ps: training takes chief and worker"),
        (config({"chief": TWO}), "more than one chief"),
        (json.dumps({"cluster": {"worker": TWO}}), "no 'task' with 'type' and 'index'"),
        (config(type="worker"), "no 'task' with 'type' and 'index'"),
        (config(type="chief", index=0), "task type 'chief', but its cluster has worker"),
        (config(type="worker", index=2), "task index 2, but its cluster has 2 worker"),
        (config(type="worker", index=-1), "task index -1: expected a whole number"),
        (config(type="worker", index="one"), "task index 'one': expected a whole number"),
        (config(type="worker", index=True), "task index True: expected a whole number"),
        (config(type=["worker"], index=0), r"task type \['worker'\]"),
    ],
)
def test_what_is_wrong_in_tf_config_is_said_in_one_line(text: str, message: str) -> None:
    with pytest.raises(LegoclfError, match=f"^TF_CONFIG .*{message}") as caught:
        parse_cluster(text)
    assert "\n" not in str(caught.value)


def test_a_machine_that_does_not_come_is_named() -> None:
    addresses = [free_address(), free_address()]
    with pytest.raises(LegoclfError, match=f"no answer from {addresses[1]} within 0.3 s"):
        wait_for_peers(Cluster(addresses, 0), wait_s=0.3)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(LegoclfError, match=f"port {port} of this machine cannot be listened at"):
            wait_for_peers(Cluster([f"127.0.0.1:{port}", free_address()], 0), wait_s=0.3)


def test_machines_that_start_at_different_times_wait_for_each_other() -> None:
    """The second finds the first waiting and goes on; the first then finds what listens at that port."""
    addresses = [free_address(), free_address()]
    gone_on = threading.Event()

    def first() -> None:
        wait_for_peers(Cluster(addresses, 0), wait_s=10)
        gone_on.set()

    thread = threading.Thread(target=first)
    thread.start()
    assert not gone_on.wait(0.5)
    wait_for_peers(Cluster(addresses, 1), wait_s=5)
    # As TensorFlow does next.
    with socket.create_server(("", int(addresses[1].rpartition(":")[2]))):
        assert gone_on.wait(10)
    thread.join()
