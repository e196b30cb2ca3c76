"""Files that are read by ranges: the bytes of the file, whoever reads where, and few too many."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fstore.store.remote_files import FIRST, GRID, RangeFile

SIZE = 300_000
CONTENT = np.random.default_rng(0).bytes(SIZE)
EDGES = [max(0, e + d) for e in (0, GRID, FIRST, SIZE - FIRST, SIZE) for d in range(-2, 3)]
PLACES = st.one_of(st.integers(0, SIZE + 9), st.sampled_from(EDGES))
STEPS = st.lists(st.tuples(PLACES, PLACES), max_size=30)


class Served:
    """A file on a server that notes what is asked of it, and gives no empty range."""

    def __init__(self, tail: int, *, by_thread: bool = False) -> None:
        self.asked: list[tuple[int, int]] = []
        last = CONTENT[SIZE - tail :]
        self.file = RangeFile(self._fetch, SIZE, tail=last, by_thread=by_thread)

    def _fetch(self, start: int, stop: int) -> bytes:
        assert 0 <= start < stop <= SIZE
        self.asked.append((start, stop))
        return CONTENT[start:stop]

    @property
    def n_bytes(self) -> int:
        """How many bytes were answered."""
        return sum(stop - start for start, stop in self.asked)

    def read(self, at: int, n: int) -> bytes:
        """Go to a place and read."""
        self.file.seek(at)
        return self.file.read(n)


@example([(0, SIZE - FIRST + 1), (0, SIZE - FIRST + 2)], FIRST)  # into what came with the head
@settings(max_examples=300)
@given(STEPS, st.sampled_from([0, 1, FIRST, SIZE]))
def test_bytes_are_the_files(steps: list[tuple[int, int]], tail: int) -> None:
    """Whatever is read where gives what a file in memory gives, also past its end."""
    served, right = Served(tail), io.BytesIO(CONTENT)
    for at, n in steps:
        right.seek(at)
        assert served.read(at, n) == right.read(n)


def test_threads_are_each_at_a_place_of_their_own() -> None:
    """Threads that share a file read what each asked for."""
    served = Served(FIRST, by_thread=True)
    places = np.random.default_rng(1).integers(0, SIZE - 500, 2000).tolist()
    with ThreadPoolExecutor(8) as threads:
        parts = list(threads.map(lambda at: served.read(at, 500), places))
    assert parts == [CONTENT[at : at + 500] for at in places]


def test_what_another_thread_fetched_is_not_fetched_again() -> None:
    """A page's head that one thread looked at is there for the next."""
    served = Served(FIRST, by_thread=True)
    for at in (5_851, 5_919, 4_100, 5_997):
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(served.read, at, 40).result() == CONTENT[at : at + 40]
    assert served.asked == [(GRID, 5_851 + FIRST)]


def test_the_end_is_not_fetched_again() -> None:
    """Bytes that came with the file's head are joined to those before them."""
    served = Served(FIRST)
    assert served.read(SIZE - 2 * FIRST, 2 * FIRST) == CONTENT[-2 * FIRST :]
    assert served.n_bytes <= FIRST + GRID
    assert served.read(SIZE - 8, 8) == CONTENT[-8:]
    assert len(served.asked) == 1


@pytest.mark.parametrize("step", [100, 5_000])
def test_reading_on_fetches_each_byte_once(step: int) -> None:
    """Who reads from the start to the end gets more at once each time, and nothing twice."""
    served = Served(FIRST)
    read = b"".join(served.file.read(step) for _ in range(SIZE // step + 1))
    assert read == CONTENT
    assert served.n_bytes == SIZE - FIRST
    assert len(served.asked) < 8


def test_steps_inside_what_is_here_ask_for_little() -> None:
    """Who goes on from inside the last part, not from where the last read ended, gets little."""
    served = Served(FIRST)
    for at in range(0, SIZE // 2, FIRST - 8):
        assert served.read(at, 8) == CONTENT[at : at + 8]
    assert all(stop - start <= FIRST + GRID for start, stop in served.asked)
