"""Training a head keeps NumPy's matrix products to one thread, and gives the threads back."""

import numpy as np
import pytest
import threadpoolctl

from legoclf.retrain import blas


def threads() -> set[int]:
    return {each["num_threads"] for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"}


@blas.one_blas_thread
def threads_while_trained(rows: list[int], offset: int = 0) -> set[int]:
    return {count + offset for count in threads()}


@pytest.fixture(autouse=True)
def _two_threads() -> object:
    np.zeros(1) @ np.zeros(1)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        yield


def test_a_head_is_trained_on_one_thread() -> None:
    assert threads_while_trained([0]) == {1}


def test_the_threads_are_given_back() -> None:
    threads_while_trained([0], offset=1)
    assert threads() == {2}


def test_many_rows_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "MOST_ROWS", 1)
    assert threads_while_trained([0, 1]) == {2}
