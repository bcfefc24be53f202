"""CUDA by PyCUDA, cuda-python and ctypes: one behaviour, on modules and a library of ours on host memory."""

import gc
import inspect
import sys
import threading
import types

import cudart_stub
import fake_cuda_modules
import numpy as np
import pytest

from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson import cuda_library
from legoclf.jetson.cuda import BACKENDS, open_cuda
from legoclf.jetson.cuda_pycuda import PyCuda, import_driver
from legoclf.jetson.cuda_python import CudaPython, import_runtime
from legoclf.jetson.cudart import CudartCuda


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    return cudart_stub.build_stub(tmp_path_factory.mktemp("cudart"))


@pytest.fixture
def bare(monkeypatch):
    """No CUDA library where they usually are, and no module for it."""
    for name in ("LEGOCLF_CUDART", "LEGOCLF_CUDA_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    for name in ("SONAMES", "FOLDERS", "PACKAGE_FOLDERS"):
        monkeypatch.setattr(cuda_library, name, ())
    monkeypatch.setattr(cuda_library.ctypes.util, "find_library", lambda name: None)
    for name in ("pycuda", "pycuda.driver", "cuda", "cuda.bindings", "cuda.cudart"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def pycuda(bare, monkeypatch):
    """PyCUDA is installed."""
    module = types.ModuleType("pycuda")
    module.VERSION_TEXT = "2022.1"
    module.driver = fake_cuda_modules.FakeDriver()
    monkeypatch.setitem(sys.modules, "pycuda", module)
    monkeypatch.setitem(sys.modules, "pycuda.driver", module.driver)
    return module


@pytest.fixture
def cuda_python(bare, monkeypatch):
    """cuda-python is installed."""
    module = types.ModuleType("cuda.bindings")
    module.runtime = fake_cuda_modules.FakeRuntime()
    monkeypatch.setitem(sys.modules, "cuda", types.ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", module)
    return module


@pytest.fixture(params=BACKENDS)
def cuda(request, monkeypatch):
    if request.param == "ctypes":
        monkeypatch.setenv("LEGOCLF_CUDART", request.getfixturevalue("stub"))
        opened = open_cuda()
    else:
        request.getfixturevalue("bare")
        request.getfixturevalue(request.param.replace("-", "_"))
        opened = open_cuda()
    yield opened
    opened.close()


# One behaviour


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
def test_what_is_copied_to_the_device_comes_back(cuda, dtype):
    array = np.arange(2 * 3 * 5).astype(dtype).reshape(2, 3, 5)
    address, stream = cuda.allocate(array.nbytes), cuda.create_stream()
    back = np.empty_like(array)
    cuda.copy_to_device(address, array, stream)
    cuda.copy_to_host(back, address, stream)
    cuda.synchronize(stream)
    np.testing.assert_array_equal(back, array)


def test_copies_reach_into_the_middle_of_an_allocation(cuda):
    address, stream = cuda.allocate(8), cuda.create_stream()
    parts = np.zeros(8, np.uint8), np.full(4, 7, np.uint8)
    for part, offset in zip(parts, (0, 4)):
        cuda.copy_to_device(address + offset, part, stream)
    back = np.empty(8, np.uint8)
    cuda.copy_to_host(back, address, stream)
    cuda.synchronize(stream)
    assert back.tolist() == [0, 0, 0, 0, 7, 7, 7, 7]


@pytest.mark.parametrize("cuda", ["pycuda", "cuda-python"], indirect=True)
def test_the_device_sees_mapped_memory_without_a_copy(cuda):
    array, address = cuda.mapped_empty((4,), np.uint8)
    stream = cuda.create_stream()
    array[:] = [1, 2, 3, 4]
    back = np.empty(4, np.uint8)
    cuda.copy_to_host(back, address, stream)
    cuda.synchronize(stream)
    assert back.tolist() == [1, 2, 3, 4]


def test_mapped_memory_is_an_array_to_write_to(cuda):
    array, address = cuda.mapped_empty((2, 3), np.float32)
    array[:] = 1.5
    assert (array.shape, array.dtype, array.sum(), address > 0) == ((2, 3), np.float32, 9.0, True)


def test_pinned_memory_is_an_array_to_write_to(cuda):
    array = cuda.pinned_empty((2, 3), np.float16)
    array[:] = 1.5
    assert (array.shape, array.dtype, array.flags.c_contiguous, array.sum()) == ((2, 3), np.float16, True, 9)


def test_pinned_memory_of_nothing_is_an_empty_array(cuda):
    assert cuda.pinned_empty((0, 3), np.float32).shape == (0, 3)


def test_events_measure_the_time_between_them(cuda):
    stream, start, end = cuda.create_stream(), cuda.create_event(), cuda.create_event()
    address, array = cuda.allocate(4), np.zeros(4, np.uint8)
    cuda.record(start, stream)
    cuda.copy_to_device(address, array, stream)
    cuda.record(end, stream)
    # By the fake device's clock, or by the stub's, which is the machine's.
    assert 0 < cuda.elapsed_ms(start, end) < 1000


def test_free_memory_falls_by_what_is_allocated(cuda):
    free, total = cuda.memory_info()
    address = cuda.allocate(1 << 20)
    assert cuda.memory_info() == (free - (1 << 20), total)
    cuda.free(address)
    assert cuda.memory_info() == (free, total)


def test_the_device_tells_its_name_and_compute_capability(cuda):
    assert (cuda.device_name(), cuda.compute_capability()) in (("Orin", (8, 7)), ("NVIDIA Tegra X1", (5, 3)))


def test_out_of_memory_is_told_with_the_mend(cuda):
    with pytest.raises(LegoclfError, match="CUDA: .* failed: .*emory.*; close other programs"):
        cuda.allocate(1 << 40)


def test_an_allocation_of_nothing_is_refused(cuda):
    with pytest.raises(ValueError, match="got 0 bytes"):
        cuda.allocate(0)


@pytest.mark.parametrize("copy", ["copy_to_device", "copy_to_host"])
def test_an_array_with_gaps_is_refused(cuda, copy):
    address, stream = cuda.allocate(64), cuda.create_stream()
    array = np.zeros((4, 8), np.uint8)[:, ::2]
    with pytest.raises(ValueError, match="C-contiguous"):
        getattr(cuda, copy)(
            *((address, array) if copy == "copy_to_device" else (array, address)), stream=stream
        )


def test_an_overrun_is_refused_and_told(cuda):
    address, stream = cuda.allocate(4), cuda.create_stream()
    with pytest.raises(LegoclfError, match="CUDA: .* failed"):
        cuda.copy_to_device(address, np.zeros(5, np.uint8), stream)


def test_a_foreign_address_is_told(cuda):
    with pytest.raises(LegoclfError, match="CUDA: "):
        cuda.free(0x1234)


def test_another_thread_is_refused_by_both_names(cuda):
    errors = []

    def run():
        try:
            cuda.create_stream()
        except LegoclfError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run, name="camera")
    thread.start()
    thread.join()
    assert "called by thread 'camera', but this object belongs to thread 'MainThread'" in errors[0]


def test_nothing_may_be_called_after_the_end(cuda):
    cuda.close()
    with pytest.raises(LegoclfError, match="called after close"):
        cuda.create_stream()


@pytest.mark.parametrize("cuda", ["pycuda", "cuda-python"], indirect=True)
def test_the_end_gives_back_what_was_not(cuda):
    cuda.allocate(4), cuda.create_stream(), cuda.create_event()
    cuda.free(cuda.allocate(4))
    cuda.destroy_stream(cuda.create_stream())
    cuda.destroy_event(cuda.create_event())
    below = (cuda._driver if isinstance(cuda, PyCuda) else cuda._runtime).device
    cuda.close()
    gc.collect()
    below.assert_nothing_leaked()


# Each in its own way


def test_pycuda_takes_its_context_off_at_the_end(pycuda):
    with open_cuda() as cuda:
        cuda.create_stream()
        assert len(pycuda.driver.contexts) == 1
    assert pycuda.driver.contexts == []


def test_pycuda_makes_no_context_for_names(pycuda):
    with open_cuda() as cuda:
        cuda.device_name(), cuda.compute_capability(), cuda.runtime_version()
        assert pycuda.driver.contexts == []


def test_pycudas_error_has_the_call_its_words_and_the_mend(pycuda):
    cuda = open_cuda()
    stream = cuda.create_stream()
    pycuda.driver.fail["Stream.synchronize"] = fake_cuda_modules.LaunchError("cuStreamSynchronize failed: x")
    with pytest.raises(LegoclfError, match="Stream.synchronize failed: cuStreamSynchronize failed: x.*again"):
        cuda.synchronize(stream)
    del pycuda.driver.fail["Stream.synchronize"]
    cuda.close()


def test_pycuda_without_a_gpu_is_told(pycuda):
    pycuda.driver.fail["init"] = fake_cuda_modules.Error("cuInit failed: no CUDA-capable device is detected")
    with pytest.raises(LegoclfError, match="init failed: cuInit failed.*run on the device"):
        open_cuda()


def test_a_pycuda_without_primary_contexts_is_passed_over(pycuda, stub, monkeypatch):
    del pycuda.driver.Device.retain_primary_context
    monkeypatch.setattr(cuda_library, "SONAMES", (stub,))
    assert isinstance(open_cuda(), CudartCuda)


def test_cuda_pythons_error_has_the_call_cudas_words_and_the_mend(cuda_python):
    cuda_python.runtime.fail["cudaMemGetInfo"] = 100
    with open_cuda() as cuda, pytest.raises(
        LegoclfError,
        match=r"cudaMemGetInfo failed: cudaErrorNoDevice \(100: words of cudaErrorNoDevice\); no NVIDIA GPU",
    ):
        cuda.memory_info()


def test_cuda_python_without_a_driver_is_told(cuda_python, monkeypatch):
    def refuse():
        raise RuntimeError("Failed to dlopen libcuda.so.1")

    monkeypatch.setattr(cuda_python.runtime, "cudaGetDeviceCount", refuse, raising=True)
    with pytest.raises(LegoclfError, match="Failed to dlopen libcuda.so.1; no NVIDIA GPU"):
        open_cuda()


def test_the_older_cuda_python_is_found_too(bare, monkeypatch):
    module = types.ModuleType("cuda")
    module.cudart = fake_cuda_modules.FakeRuntime()
    monkeypatch.setitem(sys.modules, "cuda", module)
    assert import_runtime() is module.cudart


def test_cuda_python_gives_pinned_memory_back_with_its_last_part(cuda_python):
    with open_cuda() as cuda:
        part = cuda.pinned_empty((4, 4), np.uint8)[1:, 1]
        gc.collect()
        assert len(cuda_python.runtime._pinned) == 1
        del part
        gc.collect()
        assert cuda_python.runtime._pinned == {}


@pytest.mark.parametrize(
    ("make", "own"), [("pycuda", "10.2"), ("cuda_python", "12.6")], ids=["PyCUDA", "cuda-python"]
)
def test_the_version_is_that_of_the_installed_libcudart(make, own, request, stub, monkeypatch):
    """So that an engine built by way of one backend is found by way of another."""
    request.getfixturevalue(make)
    with open_cuda() as cuda:
        assert cuda.runtime_version() == own  # there is none
        monkeypatch.setattr(cuda_library, "SONAMES", (stub,))
        monkeypatch.setenv("CUDART_STUB_VERSION", "11040")
        assert cuda.runtime_version() == "11.4"


def test_the_real_cuda_python_has_every_name_with_as_many_arguments():
    runtime = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    for name, function in inspect.getmembers(fake_cuda_modules.FakeRuntime, inspect.isfunction):
        if name.startswith("cuda"):
            signature = getattr(runtime, name).__doc__.split("(")[1].split(")")[0]
            expected = [one for one in signature.split(",") if one]
            assert len(inspect.signature(function).parameters) - 1 == len(expected), name
    for kind in ("cudaError_t", "cudaMemcpyKind", "cudaDeviceAttr"):
        for member in getattr(fake_cuda_modules, kind):
            assert int(getattr(getattr(runtime, kind), member.name)) == member.value


# Which is taken


def test_pycuda_is_taken_before_cuda_python(pycuda, cuda_python):
    # The fixture of the second hides nothing of the first.
    with open_cuda() as cuda:
        assert isinstance(cuda, PyCuda)


def test_cuda_python_is_taken_where_pycuda_is_not_installed(cuda_python):
    with open_cuda() as cuda:
        assert isinstance(cuda, CudaPython)


def test_ctypes_is_taken_where_neither_is_installed(bare, stub, monkeypatch):
    monkeypatch.setattr(cuda_library, "SONAMES", (stub,))
    with open_cuda() as cuda:
        assert isinstance(cuda, CudartCuda)


def test_a_named_libcudart_is_used_by_ctypes(pycuda, stub, monkeypatch):
    monkeypatch.setenv("LEGOCLF_CUDART", stub)
    with open_cuda() as cuda:
        assert isinstance(cuda, CudartCuda)


@pytest.mark.parametrize(
    ("name", "kind"), [("pycuda", PyCuda), ("cuda-python", CudaPython), ("ctypes", CudartCuda)]
)
def test_the_named_one_is_taken(name, kind, pycuda, cuda_python, stub, monkeypatch):
    monkeypatch.setattr(cuda_library, "SONAMES", (stub,))
    monkeypatch.setenv("LEGOCLF_CUDA_BACKEND", name)
    with open_cuda() as cuda:
        assert isinstance(cuda, kind)


def test_a_named_one_that_is_not_installed_is_told(bare, monkeypatch):
    monkeypatch.setenv("LEGOCLF_CUDA_BACKEND", "pycuda")
    with pytest.raises(LegoclfError, match="LEGOCLF_CUDA_BACKEND=pycuda: cannot be imported"):
        open_cuda()


def test_an_unknown_name_is_refused_with_the_known_ones(bare, monkeypatch):
    monkeypatch.setenv("LEGOCLF_CUDA_BACKEND", "opencl")
    with pytest.raises(UsageError, match="got 'opencl', expected one of pycuda, cuda-python, ctypes"):
        open_cuda()


def test_an_old_pycuda_says_what_it_lacks(pycuda):
    del pycuda.driver.Device.retain_primary_context
    with pytest.raises(ImportError, match="PyCUDA 2022.1: expected 2020.1 or later"):
        import_driver()
