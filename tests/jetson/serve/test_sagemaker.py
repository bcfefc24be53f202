"""Amazon SageMaker's contract for a container, by the requests that its service makes.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

import base64
import json
from pathlib import Path
from typing import Any, Iterator

import fake_server
import novel_bundle
import numpy as np
import pytest
import tiny_bundle

fake_server.need_packages()

LABELS = tiny_bundle.labels()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[fake_server.Running]:
    bundle = tiny_bundle.write_bundle(tmp_path_factory.mktemp("sagemaker") / "x.bundle")
    with fake_server.serving(bundle, is_sagemaker=True, host="0.0.0.0") as running:
        yield running


def invoke(server: fake_server.Running, body: Any, kind: str) -> fake_server.Reply:
    headers = {"Content-Type": kind, "Accept": "application/json", "X-Amzn-SageMaker-Custom-Attributes": "x"}
    return fake_server.ask(server.port, "POST", "/invocations", body, headers)


def test_ping_is_answered_with_200_within_its_two_seconds(server: fake_server.Running) -> None:
    assert fake_server.ask(server.port, "GET", "/ping").status == 200


@pytest.mark.parametrize("kind", ["image/jpeg", "application/x-image", "application/octet-stream"])
def test_an_image_is_the_body(server: fake_server.Running, kind: str) -> None:
    record = invoke(server, fake_server.photo(1), kind).record
    assert record["labels"] == LABELS
    (prediction,) = record["predictions"]
    assert prediction["label"] == LABELS[1]
    assert int(np.argmax(prediction["probabilities"])) == 1
    assert sum(prediction["probabilities"]) == pytest.approx(1.0, abs=1e-5)  # each is rounded to six digits


def test_what_is_too_strange_for_the_bundle_is_unknown_with_its_probabilities(tmp_path: Path) -> None:
    bundle = novel_bundle.write_bundle(tmp_path / "x.bundle")
    with fake_server.serving(bundle, is_sagemaker=True, host="0.0.0.0") as running:
        photo = fake_server.image_file(novel_bundle.strange(), "PNG")
        (prediction,) = invoke(running, photo, "application/x-image").record["predictions"]
    assert (prediction["label"], int(np.argmax(prediction["probabilities"]))) == ("unknown", 0)
    assert prediction["novelty"] == pytest.approx(3.783, abs=1e-3)


def test_instances_are_those_of_tensorflow_serving(server: fake_server.Running) -> None:
    instances = [{"b64": base64.b64encode(fake_server.photo(label)).decode("ascii")} for label in (2, 3)]
    record = invoke(server, json.dumps({"instances": instances}), "application/json").record
    assert [each["label"] for each in record["predictions"]] == [LABELS[2], LABELS[3]]


def test_a_batch_transform_that_sends_chunks_is_taken(server: fake_server.Running) -> None:
    photo = fake_server.photo(3)
    chunks = iter([photo[:100], photo[100:]])  # without a length http.client sends it in chunks
    reply = invoke(server, chunks, "application/x-image")
    assert reply.record["predictions"][0]["label"] == LABELS[3]


def test_what_is_no_image_is_the_clients_fault(server: fake_server.Running) -> None:
    reply = invoke(server, b"no image", "image/jpeg")
    assert (reply.status, list(reply.record)) == (400, ["error"])


@pytest.mark.parametrize("path", ["/", "/classify", "/healthz", "/metrics", "/login"])
def test_there_are_those_two_paths_alone(server: fake_server.Running, path: str) -> None:
    assert fake_server.ask(server.port, "GET", path).status == 404


def test_its_host_may_be_any(server: fake_server.Running) -> None:
    headers = {"Host": "model.aws.local:8080"}
    assert fake_server.ask(server.port, "GET", "/ping", headers=headers).status == 200
