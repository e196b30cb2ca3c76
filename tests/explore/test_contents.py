"""What is kept in memory: made once, and large things few at a time."""

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from fstore.explore.contents import AT_ONCE, Contents
from fstore.store import Store


def all_at_once(asks: "list[Callable[[], object]]") -> None:
    """Run functions in threads of their own; fail if they wait for one another for ever."""
    threads = [threading.Thread(target=ask, daemon=True) for ask in asks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def test_few_large_things_are_made_at_a_time(empty: Store) -> None:
    """Twelve that ask for large things get them, but only two are being made at any moment."""
    contents, lock, now, most = Contents(empty), threading.Lock(), [0], [0]

    def make() -> int:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return 1

    all_at_once([partial(contents.kept, n, (), make, large=True) for n in range(12)])
    assert most[0] == AT_ONCE
    assert all(contents.holds(n, ()) for n in range(12))


def test_things_that_need_large_ones_do_not_wait_for_each_other(empty: Store) -> None:
    """A small thing that needs a large one, and large ones that need it, are all made."""
    contents = Contents(empty)

    def large() -> int:
        time.sleep(0.01)
        return 1

    def small() -> int:
        time.sleep(0.05)
        return contents.kept("large", (), large, large=True)

    def need_small() -> int:
        return contents.kept("small", (), small)

    asks: list[Callable[[], object]] = [partial(contents.kept, "small", (), small)]
    asks += [partial(contents.kept, ("of it", n), (), need_small, large=True) for n in range(6)]
    all_at_once(asks)
    assert contents.holds(("of it", 5), ())


def test_what_fails_keeps_nobody_out(empty: Store) -> None:
    """After errors as many are made as before, also what failed."""
    contents = Contents(empty)

    def fail() -> int:
        raise ValueError("no")

    for _ in range(2 * AT_ONCE):
        with pytest.raises(ValueError, match="no"):
            contents.kept("it", (), fail, large=True)

    def give() -> int:
        return 2

    assert contents.kept("it", (), give, large=True) == 2
