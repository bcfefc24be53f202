"""Preprocessing and memory on a real NVIDIA GPU, by `make gpu-test`; each skip tells what is missing."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from legoclf.contract import GEOMETRIES, RESAMPLES, InputContract
from legoclf.errors import LegoclfError
from legoclf.jetson.cuda import BACKENDS, open_cuda
from legoclf.jetson.frame import PIXEL_FORMATS, Frame, image_shape, nv12_to_bgr, yuyv_to_bgr
from legoclf.jetson.gpu_preprocess import GpuPreprocessor
from legoclf.jetson.kernel_compiler import load_kernels
from legoclf.jetson.memory_choice import MEMORIES, choose_input_memory, choose_output_memory
from legoclf.preprocess import preprocess

pytestmark = pytest.mark.gpu

CONTRACT = InputContract(224, 224, "RGB", "squash", "area", 1.0 / 255.0, 0.0)
SIZES = [(480, 640), (1080, 1920), (241, 319), (100, 300), (1, 1)]
BGR = {
    "BGR": lambda image: image,
    "BGRx": lambda image: image[:, :, :3],
    "NV12": nv12_to_bgr,
    "YUYV": yuyv_to_bgr,
}


@pytest.fixture(params=BACKENDS)
def cuda(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("LEGOCLF_CUDA_BACKEND", request.param)
    try:
        opened = open_cuda()
        opened.memory_info()
    except LegoclfError as error:
        pytest.skip(str(error))
    yield opened
    opened.close()


@pytest.fixture
def kernels(cuda: Any) -> Iterator[Any]:
    try:
        loaded = load_kernels(cuda)
    except LegoclfError as error:
        pytest.skip(str(error))
    yield loaded
    loaded.close()


def noise(pixel_format: str, height: int, width: int) -> Frame:
    """A frame of noise; YUV has the next even size."""
    even = (height + height % 2, width + width % 2) if pixel_format in ("NV12", "YUYV") else (height, width)
    random = np.random.default_rng(height)
    return Frame(random.integers(0, 256, image_shape(pixel_format, *even), np.uint8), pixel_format, 0, 0.0)


def reference(frame: Frame, contract: InputContract) -> np.ndarray:
    return preprocess(BGR[frame.pixel_format](frame.image)[:, :, ::-1], contract)


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("resample", RESAMPLES)
def test_every_format_and_size_becomes_the_references_tensor(
    cuda: Any, kernels: Any, pixel_format: str, geometry: str, resample: str
) -> None:
    contract = CONTRACT._replace(geometry=geometry, resample=resample)
    with GpuPreprocessor(contract, cuda, kernels) as preprocessor:
        for height, width in SIZES:
            frame = noise(pixel_format, height, width)
            np.testing.assert_array_equal(preprocessor.prepare(frame), reference(frame, contract))


@pytest.mark.parametrize("memory", MEMORIES)
def test_every_memory_gives_the_same_tensor(cuda: Any, kernels: Any, memory: str) -> None:
    with GpuPreprocessor(CONTRACT, cuda, kernels, memory=memory) as preprocessor:
        for height in (240, 480, 120):
            frame = noise("NV12", height, 640)
            np.testing.assert_array_equal(preprocessor.prepare(frame), reference(frame, CONTRACT))


def test_half_is_the_float_rounded_once(cuda: Any, kernels: Any) -> None:
    frame = noise("BGR", 480, 640)
    expected = reference(frame, CONTRACT).astype(np.float16).astype(np.float32)
    with GpuPreprocessor(CONTRACT, cuda, kernels, half=True) as preprocessor:
        np.testing.assert_array_equal(preprocessor.prepare(frame), expected)


def test_the_self_test_measures_each_memory(
    cuda: Any, kernels: Any, record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures are for the record: -rP shows them, and junit has them as properties."""
    frame = noise("NV12", 1080, 1920)
    with GpuPreprocessor(CONTRACT, cuda, kernels) as preprocessor:
        inputs = choose_input_memory(preprocessor, cuda, frame, 3 * 224 * 224 * 4)
    outputs = choose_output_memory(cuda, (1, 1000), np.float32)
    for name, choice in (("input", inputs), ("output", outputs)):
        record_property(f"{name} on {cuda.device_name()}", str(choice))
        assert all(0 < ms < 1000 for ms in choice.median_ms.values())
