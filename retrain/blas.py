"""How many threads NumPy's matrix products may use while a head is trained."""

import functools
from collections.abc import Callable, Sized
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Rows = TypeVar("Rows", bound=Sized)

#: Rows of features up to which one thread is taken.
MOST_ROWS = 100_000


def one_blas_thread(train: Callable[Concatenate[Rows, P], T]) -> Callable[Concatenate[Rows, P], T]:
    """Let a function that trains on features run its matrix products on one thread.

    They are as narrow as there are classes, and thousands of them: handing each over to other threads costs
    as much as it gains on an idle machine, and 3 to 14 times as much on a busy one, where OpenBLAS' threads
    wait for each other by spinning. The head is then the same bits for any number of cores too. From
    MOST_ROWS on a product is long enough to be shared.
    """

    @functools.wraps(train)
    def limited(features: Rows, /, *args: P.args, **kwargs: P.kwargs) -> T:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1 if len(features) <= MOST_ROWS else None, user_api="blas"):
            return train(features, *args, **kwargs)

    return limited
