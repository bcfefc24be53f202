"""The fake CUDA punishes what a real device would punish later, or silently; and so does the C stub."""

import gc
import subprocess
import sys
import threading
from typing import Any, Callable, List

import numpy as np
import pytest
from cudart_stub import build_stub
from fake_cuda import FakeCuda, FakeCudaError, Live

from legoclf.errors import LegoclfError


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


def test_copies_happen_at_synchronize_and_not_before(cuda: FakeCuda) -> None:
    stream, address = cuda.create_stream(), cuda.allocate(12)
    sent, received = np.arange(3, dtype=np.float32), np.zeros(3, np.float32)
    cuda.copy_to_device(address, sent, stream)
    cuda.copy_to_host(received, address, stream)
    assert not received.any()
    cuda.synchronize(stream)
    np.testing.assert_array_equal(received, sent)


def test_one_streams_work_does_not_wait_for_anothers(cuda: FakeCuda) -> None:
    first, second, address = cuda.create_stream(), cuda.create_stream(), cuda.allocate(4)
    sent, received = np.ones(1, np.float32), np.zeros(1, np.float32)
    cuda.copy_to_device(address, sent, first)
    cuda.copy_to_host(received, address, second)
    cuda.synchronize(second)
    assert np.isnan(received[0]), "fresh device memory is garbage, not zero"


def test_the_source_is_read_when_the_copy_runs(cuda: FakeCuda) -> None:
    stream, address = cuda.create_stream(), cuda.allocate(4)
    sent, received = np.ones(1, np.float32), np.zeros(1, np.float32)
    cuda.copy_to_device(address, sent, stream)
    sent[:] = 2
    cuda.copy_to_host(received, address, stream)
    cuda.synchronize(stream)
    assert received[0] == 2


def test_an_array_let_go_before_its_copy_ran_is_told(cuda: FakeCuda) -> None:
    stream, address = cuda.create_stream(), cuda.allocate(4)
    cuda.copy_to_device(address, np.ones(1, np.float32), stream)
    gc.collect()
    with pytest.raises(FakeCudaError, match="let go"):
        cuda.synchronize(stream)


MISUSES: List[Any] = [
    (lambda c, a, s: c.copy_to_device(a, np.zeros(4, np.float32), s), "overrun: 16 bytes at offset 0"),
    (lambda c, a, s: c.copy_to_host(np.zeros(3, np.float32), a + 4, s), "overrun: 12 bytes at offset 4"),
    (lambda c, a, s: c.copy_to_device(a, np.zeros((3, 3), np.uint8)[:, 0], s), "not C-contiguous"),
    (lambda c, a, s: c.copy_to_device(a, [0.0], s), "got list"),
    (lambda c, a, s: c.copy_to_device(64, np.zeros(1), s), "no device address"),
    (lambda c, a, s: c.copy_to_device(a, np.zeros(1), s + 1), "no live stream"),
    (lambda c, a, s: c.copy_to_host(np.frombuffer(b"1234", np.uint8), a, s), "read-only"),
    (lambda c, a, s: c.free(a + 4), "not the start"),
    (lambda c, a, s: (c.free(a), c.free(a)), "freed before"),
    (lambda c, a, s: (c.free(a), c.copy_to_device(a, np.zeros(1), s)), "was freed"),
    (lambda c, a, s: (c.destroy_stream(s), c.synchronize(s)), "no live stream"),
    (lambda c, a, s: (c.record(c.create_event(), s), c.destroy_stream(s)), "never synchronised: record"),
    (lambda c, a, s: c.record(7, s), "no live event"),
    (lambda c, a, s: c.elapsed_ms(c.create_event(), c.create_event()), "never recorded"),
    (lambda c, a, s: c.allocate(0), "0 bytes"),
    (lambda c, a, s: (c.close(), c.memory_info()), "after close"),
]


@pytest.mark.parametrize(("misuse", "told"), MISUSES, ids=[told for _, told in MISUSES])
def test_a_misuse_raises_where_it_happens(cuda: FakeCuda, misuse: Callable, told: str) -> None:
    address, stream = cuda.allocate(12), cuda.create_stream()
    with pytest.raises(FakeCudaError, match=told):
        misuse(cuda, address, stream)


def test_memory_freed_while_a_copy_waits_is_told_when_it_runs(cuda: FakeCuda) -> None:
    stream, address, sent = cuda.create_stream(), cuda.allocate(4), np.ones(1, np.float32)
    cuda.copy_to_device(address, sent, stream)
    cuda.free(address)
    with pytest.raises(FakeCudaError, match="was freed"):
        cuda.synchronize(stream)


def test_another_thread_is_refused(cuda: FakeCuda) -> None:
    caught: List[BaseException] = []

    def use() -> None:
        try:
            cuda.allocate(4)
        except FakeCudaError as error:
            caught.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert "thread" in str(caught[0])


def test_more_than_the_device_has_is_refused_as_users_see_it() -> None:
    cuda = FakeCuda(total_bytes=100)
    cuda.allocate(60)
    with pytest.raises(LegoclfError, match="out of memory"):
        cuda.allocate(60)
    assert cuda.memory_info() == (40, 100)


def test_events_measure_the_fake_clock(cuda: FakeCuda) -> None:
    stream, start, end = cuda.create_stream(), cuda.create_event(), cuda.create_event()
    cuda.copy_ms = 2.5
    address, sent = cuda.allocate(4), np.ones(1, np.float32)
    cuda.record(start, stream)
    cuda.copy_to_device(address, sent, stream)
    cuda.copy_to_device(address, sent, stream)
    cuda.record(end, stream)
    assert cuda.elapsed_ms(start, end) == 5.0


def test_waiting_for_an_event_does_what_lies_before_it_alone(cuda: FakeCuda) -> None:
    stream, start, end = cuda.create_stream(), cuda.create_event(), cuda.create_event()
    address, sent, received = cuda.allocate(4), np.ones(1, np.float32), np.zeros(1, np.float32)
    cuda.copy_to_device(address, sent, stream)
    cuda.record(start, stream)
    cuda.record(end, stream)
    cuda.copy_to_host(received, address, stream)
    cuda.elapsed_ms(start, end)
    assert received[0] == 0


def test_what_was_not_given_back_is_counted(cuda: FakeCuda) -> None:
    address, stream, event = cuda.allocate(4), cuda.create_stream(), cuda.create_event()
    assert cuda.live == Live(1, 1, 1)
    with pytest.raises(AssertionError, match="buffers=1"):
        cuda.assert_nothing_leaked()
    cuda.free(address)
    cuda.destroy_stream(stream)
    cuda.destroy_event(event)
    cuda.assert_nothing_leaked()


STUB_USE = """
import ctypes, sys
cudart, cuda = ctypes.CDLL(sys.argv[1]), ctypes.CDLL("libcuda.so.1")
assert not hasattr(cudart, "cuInit") and not hasattr(cuda, "cudaMalloc")
name = ctypes.create_string_buffer(64)
assert cuda.cuInit(0) == 0 and cuda.cuDeviceGetName(name, 64, 0) == 0
at = ctypes.c_void_p()
print(name.value.decode(), cudart.cudaMalloc(ctypes.byref(at), ctypes.c_size_t(8)))
"""


def test_the_stub_stands_as_two_libraries_and_fails_when_told(tmp_path: Any) -> None:
    library = build_stub(tmp_path, split=True)
    environment = {
        "LD_LIBRARY_PATH": str(tmp_path),
        "CUDART_STUB_NAME": "Orin",
        "CUDART_STUB_FAIL": "cudaMalloc=2",
    }
    command = [sys.executable, "-c", STUB_USE, library]
    answer = subprocess.check_output(command, env=environment, universal_newlines=True)
    assert answer.split() == ["Orin", "2"]
