"""CUDA by ctypes, against a libcudart of ours on host memory."""

import gc
import os
import subprocess
import sys
import threading

import cudart_stub
import numpy as np
import pytest

from legoclf.errors import LegoclfError
from legoclf.jetson import cuda_library
from legoclf.jetson.cuda import open_cuda


@pytest.fixture(scope="module")
def stub(tmp_path_factory):
    return cudart_stub.build_stub(tmp_path_factory.mktemp("cudart"))


@pytest.fixture
def calls(stub, tmp_path, monkeypatch):
    """A function that gives the names of the calls made so far."""
    log = tmp_path / "calls"
    monkeypatch.setenv("LEGOCLF_CUDART", stub)
    monkeypatch.setenv("CUDART_STUB_LOG", str(log))
    return lambda: log.read_text().split() if log.exists() else []


@pytest.fixture
def cuda(calls):
    with open_cuda() as device:
        yield device


def round_trip(cuda, array):
    address, stream = cuda.allocate(array.nbytes), cuda.create_stream()
    back = np.empty_like(array)
    cuda.copy_to_device(address, array, stream)
    cuda.copy_to_host(back, address, stream)
    cuda.synchronize(stream)
    cuda.destroy_stream(stream)
    cuda.free(address)
    return back


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int64"])
def test_what_is_copied_to_the_device_comes_back(cuda, dtype):
    array = np.arange(2 * 3 * 5, dtype=dtype).reshape(2, 3, 5)
    np.testing.assert_array_equal(round_trip(cuda, array), array)


def test_copies_reach_into_the_middle_of_an_allocation(cuda):
    address, stream = cuda.allocate(8), cuda.create_stream()
    cuda.copy_to_device(address, np.zeros(8, np.uint8), stream)
    cuda.copy_to_device(address + 4, np.full(4, 7, np.uint8), stream)
    back = np.empty(8, np.uint8)
    cuda.copy_to_host(back, address, stream)
    cuda.synchronize(stream)
    assert back.tolist() == [0, 0, 0, 0, 7, 7, 7, 7]


def test_an_overrun_is_refused_by_cuda_and_told(cuda):
    address, stream = cuda.allocate(4), cuda.create_stream()
    with pytest.raises(LegoclfError, match="cudaMemcpyAsync failed: cudaErrorInvalidValue"):
        cuda.copy_to_device(address, np.zeros(5, np.uint8), stream)


@pytest.mark.parametrize("copy", ["copy_to_device", "copy_to_host"])
def test_an_array_with_gaps_is_refused(cuda, copy):
    address, stream = cuda.allocate(64), cuda.create_stream()
    array = np.zeros((4, 8), np.uint8)[:, ::2]
    with pytest.raises(ValueError, match="C-contiguous"):
        getattr(cuda, copy)(
            *((address, array) if copy == "copy_to_device" else (array, address)), stream=stream
        )


def test_an_allocation_of_nothing_is_refused(cuda):
    with pytest.raises(ValueError, match="got 0 bytes"):
        cuda.allocate(0)


def test_events_measure_the_time_between_them(cuda):
    stream, start, end = cuda.create_stream(), cuda.create_event(), cuda.create_event()
    cuda.record(start, stream)
    threading.Event().wait(0.02)
    cuda.record(end, stream)
    # The stub's clock is the machine's; a loaded machine may be late, never early.
    assert 20 <= cuda.elapsed_ms(start, end) < 2000


def test_the_time_is_asked_for_only_when_the_second_event_is_over(cuda, calls):
    stream, start, end = cuda.create_stream(), cuda.create_event(), cuda.create_event()
    for event in (start, end):
        cuda.record(event, stream)
    cuda.elapsed_ms(start, end)
    assert calls()[-2:] == ["cudaEventSynchronize", "cudaEventElapsedTime"]


def test_pinned_memory_is_an_array_to_write_to(cuda):
    array = cuda.pinned_empty((2, 3), np.float32)
    array[:] = 1.5
    assert (array.shape, array.dtype, array.flags.c_contiguous, array.sum()) == (
        (2, 3),
        np.float32,
        True,
        9.0,
    )


def test_pinned_memory_lives_as_long_as_a_part_of_it(cuda, calls):
    part = cuda.pinned_empty((4, 4), np.uint8)[1:, 1]
    gc.collect()
    assert "cudaFreeHost" not in calls()
    del part
    gc.collect()
    assert calls()[-1] == "cudaFreeHost"


def test_pinned_memory_of_nothing_is_an_empty_array(cuda):
    assert cuda.pinned_empty((0, 3), np.float32).shape == (0, 3)


def test_free_memory_falls_by_what_is_allocated(cuda):
    free, total = cuda.memory_info()
    cuda.allocate(1 << 20)
    assert (cuda.memory_info(), total) == ((free - (1 << 20), total), 4 << 30)


@pytest.mark.parametrize(
    ("number", "version"), [("10020", "10.2"), ("11040", "11.4"), ("12060", "12.6"), ("13020", "13.2")]
)
def test_the_runtimes_version_is_read_out_of_its_number(cuda, monkeypatch, number, version):
    monkeypatch.setenv("CUDART_STUB_VERSION", number)
    assert cuda.runtime_version() == version


def test_the_gpu_has_its_name_and_compute_capability(cuda, monkeypatch):
    monkeypatch.setenv("CUDART_STUB_NAME", "Orin")
    monkeypatch.setenv("CUDART_STUB_CAPABILITY", "8.7")
    assert (cuda.device_name(), cuda.compute_capability()) == ("Orin", (8, 7))


def test_the_name_comes_from_the_driver_where_the_runtime_has_it_not(tmp_path):
    library = cudart_stub.build_stub(tmp_path, split=True)
    program = "from legoclf.jetson.cuda import open_cuda; print(open_cuda().device_name())"
    environment = dict(os.environ, LEGOCLF_CUDART=library, LD_LIBRARY_PATH=str(tmp_path))
    out = subprocess.check_output([sys.executable, "-c", program], env=environment, cwd=str(tmp_path))
    assert out.decode().strip() == "NVIDIA Tegra X1"


def test_names_and_versions_leave_the_devices_memory_alone(calls):
    """What makes a context takes 100 MB on a Nano while a build beside it needs them."""
    with open_cuda() as cuda:
        cuda.runtime_version(), cuda.device_name(), cuda.compute_capability()
    assert set(calls()) == {
        "cudaGetDeviceCount", "cudaRuntimeGetVersion", "cudaGetDevice", "cudaDeviceGetAttribute",
        "cuInit", "cuDeviceGet", "cuDeviceGetName",
    }  # fmt: skip


# Errors


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (2, "cudaErrorMemoryAllocation: out of memory); close other programs"),
        (35, "cudaErrorInsufficientDriver.*LEGOCLF_CUDART"),
        (100, "cudaErrorNoDevice.*--runtime nvidia"),
        (700, "cudaErrorIllegalAddress.*start it again"),
        (12345, r"unrecognized error code \(12345: unrecognized error code\)$"),
    ],
)
def test_an_error_has_the_call_cudas_words_and_the_mend(cuda, monkeypatch, number, told):
    monkeypatch.setenv("CUDART_STUB_FAIL", "cudaMalloc={}".format(number))
    told = told.replace(
        "cudaErrorMemoryAllocation: out of memory)", r"cudaErrorMemoryAllocation \(2: out of memory\)"
    )
    with pytest.raises(LegoclfError, match="CUDA: cudaMalloc failed: " + told):
        cuda.allocate(4)


STREAMED = {
    "cudaFree": lambda cuda, made: cuda.free(made["address"]),
    "cudaStreamCreateWithFlags": lambda cuda, made: cuda.create_stream(),
    "cudaStreamDestroy": lambda cuda, made: cuda.destroy_stream(made["stream"]),
    "cudaStreamSynchronize": lambda cuda, made: cuda.synchronize(made["stream"]),
    "cudaEventCreate": lambda cuda, made: cuda.create_event(),
    "cudaEventRecord": lambda cuda, made: cuda.record(made["event"], made["stream"]),
    "cudaEventSynchronize": lambda cuda, made: cuda.elapsed_ms(made["event"], made["event"]),
    "cudaEventElapsedTime": lambda cuda, made: cuda.elapsed_ms(made["event"], made["event"]),
    "cudaEventDestroy": lambda cuda, made: cuda.destroy_event(made["event"]),
    "cudaHostAlloc": lambda cuda, made: cuda.pinned_empty((1,), np.uint8),
    "cudaMemGetInfo": lambda cuda, made: cuda.memory_info(),
    "cudaRuntimeGetVersion": lambda cuda, made: cuda.runtime_version(),
    "cudaDeviceGetAttribute": lambda cuda, made: cuda.compute_capability(),
    "cudaGetDevice": lambda cuda, made: cuda.device_name(),
    "cuInit": lambda cuda, made: cuda.device_name(),
    "cuDeviceGetName": lambda cuda, made: cuda.device_name(),
}


@pytest.mark.parametrize("call", sorted(STREAMED))
def test_every_call_is_checked(cuda, monkeypatch, call):
    made = {"address": cuda.allocate(4), "stream": cuda.create_stream(), "event": cuda.create_event()}
    cuda.record(made["event"], made["stream"])
    monkeypatch.setenv("CUDART_STUB_FAIL", call + "=100")
    with pytest.raises(LegoclfError, match="CUDA: {} failed".format(call)):
        STREAMED[call](cuda, made)
    monkeypatch.delenv("CUDART_STUB_FAIL")


def test_no_gpu_is_told_when_cuda_is_opened(calls, monkeypatch):
    monkeypatch.setenv("CUDART_STUB_FAIL", "cudaGetDeviceCount=100")
    with pytest.raises(LegoclfError, match="cudaGetDeviceCount failed: cudaErrorNoDevice.*run on the device"):
        open_cuda()


def test_a_foreign_address_is_no_crash(cuda):
    with pytest.raises(LegoclfError, match="cudaFree failed: cudaErrorInvalidValue"):
        cuda.free(0x1234)


# One thread, and the end


def in_thread(function):
    errors = []

    def run():
        try:
            function()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="camera")
    thread.start()
    thread.join()
    return errors


def test_another_thread_is_refused_by_both_names_before_cuda_is_called(cuda, calls):
    before = calls()
    (error,) = in_thread(lambda: cuda.allocate(4))
    assert "cudaMalloc: called by thread 'camera', but this object belongs to thread 'MainThread'" in str(
        error
    )
    assert calls() == before


def test_another_thread_may_open_its_own(calls):
    assert in_thread(lambda: open_cuda().close()) == []


def test_the_end_gives_back_what_was_not(calls):
    with open_cuda() as cuda:
        cuda.allocate(4)
        cuda.record(cuda.create_event(), cuda.create_stream())
    assert sorted(calls()[-3:]) == ["cudaEventDestroy", "cudaFree", "cudaStreamDestroy"]


def test_the_end_gives_nothing_back_twice(calls):
    with open_cuda() as cuda:
        address, stream, event = cuda.allocate(4), cuda.create_stream(), cuda.create_event()
        cuda.free(address), cuda.destroy_stream(stream), cuda.destroy_event(event)
        before = len(calls())
    cuda.close()
    assert len(calls()) == before


def test_nothing_may_be_called_after_the_end(cuda):
    cuda.close()
    with pytest.raises(LegoclfError, match="cudaMalloc: called after close"):
        cuda.allocate(4)


# Finding the library


def test_a_named_library_that_does_not_load_is_told_and_no_other_is_tried(monkeypatch, tmp_path):
    monkeypatch.setenv("LEGOCLF_CUDART", str(tmp_path / "libcudart.so.9"))
    with pytest.raises(LegoclfError, match="LEGOCLF_CUDART=.*libcudart.so.9: does not load"):
        open_cuda()


@pytest.fixture
def bare(monkeypatch):
    """No CUDA where libraries usually are."""
    monkeypatch.delenv("LEGOCLF_CUDART", raising=False)
    monkeypatch.setattr(cuda_library, "SONAMES", ())
    monkeypatch.setattr(cuda_library, "FOLDERS", ())
    monkeypatch.setattr(cuda_library, "PACKAGE_FOLDERS", ())
    monkeypatch.setattr(cuda_library.ctypes.util, "find_library", lambda name: None)


@pytest.mark.usefixtures("bare")
def test_without_cuda_the_mend_is_told():
    with pytest.raises(LegoclfError, match="no CUDA runtime .* found; on a Jetson: sudo apt install"):
        open_cuda()


@pytest.mark.usefixtures("bare")
def test_it_is_found_where_nvidias_installer_puts_it(stub, tmp_path, monkeypatch):
    folder = tmp_path / "cuda-10.2" / "targets" / "aarch64-linux" / "lib"
    folder.mkdir(parents=True)
    os.symlink(stub, str(folder / "libcudart.so.10.2"))
    monkeypatch.setattr(cuda_library, "FOLDERS", (str(tmp_path / "cuda*" / "targets" / "*" / "lib"),))
    with open_cuda() as cuda:
        assert cuda.runtime_version() == "10.2"


@pytest.mark.usefixtures("bare")
def test_it_is_found_in_nvidias_python_package(stub, tmp_path, monkeypatch):
    folder = tmp_path / "nvidia" / "cuda_runtime" / "lib"
    folder.mkdir(parents=True)
    os.symlink(stub, str(folder / "libcudart.so.12"))
    monkeypatch.setattr(cuda_library, "PACKAGE_FOLDERS", ("nvidia/cuda_runtime/lib",))
    monkeypatch.syspath_prepend(str(tmp_path))
    with open_cuda() as cuda:
        assert cuda.runtime_version() == "10.2"


@pytest.mark.usefixtures("bare")
def test_a_library_that_does_not_load_is_passed_over(stub, tmp_path, monkeypatch):
    (tmp_path / "libcudart.so.9").write_bytes(b"no library")
    os.symlink(stub, str(tmp_path / "libcudart.so.10.2"))
    monkeypatch.setattr(cuda_library, "FOLDERS", (str(tmp_path),))
    with open_cuda() as cuda:
        assert cuda.runtime_version() == "10.2"
