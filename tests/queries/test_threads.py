"""BLAS takes one thread within a block, whoever else is in one, and its own number after it."""

import threading

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from fstore.queries.methods.svm import fit
from fstore.queries.methods.threads import one_thread


def threads() -> set[int]:
    """Return how many threads BLAS takes."""
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


def test_one_thread_within() -> None:
    """One within the block, also in a block of it; before and after it what there was."""
    with threadpool_limits(2):
        with one_thread():
            with one_thread():
                assert threads() == {1}
            assert threads() == {1}
        assert threads() == {2}
        with one_thread(False):
            assert threads() == {2}


def test_who_comes_first_gives_back() -> None:
    """Of two threads of Python in such blocks, the first gives the number back, and it stays."""
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with one_thread():
            entered.set()
            leave.wait(timeout=60)

    with threadpool_limits(2):
        with one_thread():
            thread = threading.Thread(target=other)
            thread.start()
            assert entered.wait(timeout=60)
            assert threads() == {1}
        leave.set()
        thread.join()
        assert threads() == {2}


def test_small_svms_take_one() -> None:
    """Where BLAS has two, training small SVMs takes one, and gives the second back."""
    X = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    Y = np.where(X[:, :2] > 0, 1, -1).astype(np.int8)
    seen = []
    with threadpool_limits(2):
        fit(X @ X.T, Y, on_progress=lambda *_: seen.append(threads()))
        assert threads() == {2}
    assert seen
    assert set.union(*seen) == {1}
