"""What the tests of the device share: an engine of a release, and the machine to run it on."""

import fake_cuda
import fake_tensorrt
import pytest
import tiny_onnx

from legoclf.convert.engine.build import BuildConfig, build_engine, needs_typed_fp16
from legoclf.jetson.tensorrt_api import TensorRTApi


@pytest.fixture
def cuda():
    """A device, from which the test must have given everything back at its end."""
    device = fake_cuda.FakeCuda()
    yield device
    device.assert_nothing_leaked()


@pytest.fixture(params=fake_tensorrt.RELEASES)
def api(request):
    """Every release in turn; its outputs come before its inputs, for order means nothing."""
    return TensorRTApi(fake_tensorrt.fake_tensorrt(request.param, reverse_bindings=True))


@pytest.fixture
def build():
    """A function that gives the plan of a tiny classifier: ``build(api, precision, batch)``."""

    def run(api, precision="fp32", batch=(1, 1, 1)):
        model = tiny_onnx.classifier(
            batch=None if batch[0] != batch[2] else batch[0],
            half=precision == "fp16" and needs_typed_fp16(api),
            quantized=precision == "int8",
        )
        return build_engine(api, model, BuildConfig(precision=precision, batch=batch), [].append).plan

    return run
