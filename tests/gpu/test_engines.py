"""Engines on a real NVIDIA GPU, by `make gpu-test`; each skip tells what is missing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_bundle

from legoclf.bundle import Bundle
from legoclf.cli import main
from legoclf.convert.engine.trials import open_session
from legoclf.errors import LegoclfError
from legoclf.golden import read_golden
from legoclf.jetson.cuda import open_cuda
from legoclf.jetson.engine_identity import this_machine
from legoclf.jetson.engine_store import choose_engine
from legoclf.jetson.tensorrt_api import find_tensorrt

pytestmark = pytest.mark.gpu


@pytest.fixture
def api() -> Any:
    try:
        return find_tensorrt()
    except LegoclfError as error:
        pytest.skip(str(error))


@pytest.fixture
def cuda(api: Any) -> Iterator[Any]:
    try:
        opened = open_cuda()
    except LegoclfError as error:
        pytest.skip(str(error))
    capability = "{}.{}".format(*opened.compute_capability())
    known = api.compute_capabilities
    if known and capability not in known:
        opened.close()
        pytest.skip(f"{api.name} knows no GPU of compute capability {capability} ({opened.device_name()})")
    yield opened
    opened.close()


@pytest.fixture
def bundle(tmp_path: Path, cuda: Any) -> Bundle:
    """One that build-engine has put its engines into, the fastest that passes chosen."""
    made = small_bundle.write_bundle(tmp_path / "small.bundle")
    assert main(["build-engine", made.path]) == 0
    return made


def test_the_chosen_engine_gives_the_golden_answers(bundle: Bundle, api: Any, cuda: Any) -> None:
    golden = read_golden(bundle)
    engine = choose_engine(bundle.path, this_machine(api, cuda))
    with open_session(engine, api, cuda) as session:
        for tensor, expected in zip(golden.tensors, golden.probabilities, strict=True):
            answer = session.run(tensor[None])["probabilities"][0]
            # What FP16, or FP32 in TF32, may differ by (docs/bundle.md).
            assert float(np.abs(answer - expected).max()) < 0.02


def test_verify_compares_the_engines_too(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["verify", bundle.path]) == 0
    assert "engine fp32" in capsys.readouterr().out
