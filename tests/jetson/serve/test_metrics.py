"""What Prometheus reads: its own parser takes it, and it counts what was asked."""

import threading
from typing import Dict, Iterator, List

import fake_server
import pytest
import tiny_bundle

pytest.importorskip("prometheus_client", reason="it writes the metrics")

from legoclf.jetson.serve.metrics import Metrics, Reading


def samples(metrics: Metrics) -> Dict[str, float]:
    """Value by name and labels, such as ``a_total{x=1}``, as Prometheus parses them."""
    from prometheus_client.parser import text_string_to_metric_families

    text, kind = metrics.text()
    assert kind.startswith("text/plain")
    found = {}
    for family in text_string_to_metric_families(text.decode("utf-8")):
        for sample in family.samples:
            labels = ",".join("{}={}".format(*each) for each in sorted(sample.labels.items()))
            found["{}{{{}}}".format(sample.name, labels)] = sample.value
    return found


def test_requests_are_counted_by_route_and_status() -> None:
    metrics = Metrics()
    for status in (200, 200, 400):
        metrics.add("/classify", status, 0.01, 2)
    found = samples(metrics)
    assert found["legoclf_requests_total{route=/classify,status=200}"] == 2
    assert found["legoclf_requests_total{route=/classify,status=400}"] == 1
    assert found["legoclf_images_total{}"] == 6


def test_how_long_requests_took_is_a_histogram() -> None:
    metrics = Metrics()
    for seconds in (0.004, 0.03, 9.0):
        metrics.add("/classify", 200, seconds)
    found = samples(metrics)
    assert found["legoclf_request_seconds_bucket{le=0.005,route=/classify}"] == 1
    assert found["legoclf_request_seconds_bucket{le=0.05,route=/classify}"] == 2
    assert found["legoclf_request_seconds_count{route=/classify}"] == 3
    assert found["legoclf_request_seconds_sum{route=/classify}"] == pytest.approx(9.034)


def test_readings_are_asked_for_whenever_it_is_read() -> None:
    values: Iterator[float] = iter([1.0, 2.5])

    def read() -> List[Reading]:
        where = (("zone", "GPU"),)
        return [
            Reading("legoclf_temperature_celsius", "gauge", "How warm.", next(values), where),
            Reading("legoclf_frames", "counter", "How many.", 7.0),
        ]

    metrics = Metrics([read])
    assert samples(metrics)["legoclf_temperature_celsius{zone=GPU}"] == 1.0
    found = samples(metrics)
    assert found["legoclf_temperature_celsius{zone=GPU}"] == 2.5
    assert found["legoclf_frames_total{}"] == 7.0


def test_readings_of_one_name_become_one_family() -> None:
    def read() -> List[Reading]:
        return [Reading("w", "gauge", "Power.", 1.0, (("rail", name),)) for name in ("a", "b")]

    text = Metrics([read]).text()[0].decode("utf-8")
    assert text.count("# TYPE w gauge") == 1
    assert 'w{rail="a"} 1.0' in text
    assert 'w{rail="b"} 1.0' in text


def test_two_servers_in_one_process_count_apart() -> None:
    one, other = Metrics(), Metrics()
    one.add("/classify", 200, 0.1)
    assert not [name for name in samples(other) if "status" in name]


def test_no_count_is_lost_between_threads() -> None:
    metrics = Metrics()

    def count() -> None:
        for _ in range(500):
            metrics.add("/x", 200, 0.0, 1)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert samples(metrics)["legoclf_images_total{}"] == 4000


def test_the_server_tells_them_and_makes_no_series_of_what_a_client_writes(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    fake_server.need_packages()
    bundle = tiny_bundle.write_bundle(tmp_path_factory.mktemp("metrics") / "x.bundle")
    with fake_server.serving(bundle) as server:
        fake_server.ask(server.port, "POST", "/classify", fake_server.photo(), {"Content-Type": "image/jpeg"})
        for path in ("/evil-1", "/evil-2?x", "/classify/evil"):
            fake_server.ask(server.port, "GET", path)
        reply = fake_server.ask(server.port, "GET", "/metrics")
    text = reply.body.decode("utf-8")
    assert reply.headers["content-type"].startswith("text/plain")
    assert 'legoclf_requests_total{route="/classify",status="200"} 1.0' in text
    assert "evil" not in text
