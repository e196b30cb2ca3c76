"""The order in which a loader yields samples, against a shuffle buffer that is acted out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fstore.api.shuffling import deal, mixed, plan


def acted_out(n: int, buffer: int, random: np.random.Generator) -> list[int]:
    """Fill a list, draw from it one by one, and put the next one there."""
    size = min(buffer, n)
    held = list(range(size))
    drawn = random.integers(size, size=n - size).tolist() if size else []
    yielded = []
    for came, place in zip(range(size, n), drawn, strict=True):
        yielded.append(held[place])
        held[place] = came
    return yielded + [int(i) for i in random.permutation(np.array(held, dtype=np.int64))]


@given(st.integers(0, 60), st.integers(1, 70), st.integers(0, 9))
def test_the_order_is_that_of_a_shuffle_buffer(n: int, buffer: int, seed: int) -> None:
    """The order computed at once is the one that a buffer gives sample by sample."""
    order = mixed(n, buffer, np.random.default_rng(seed))
    assert order.tolist() == acted_out(n, buffer, np.random.default_rng(seed))


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 5), st.booleans())
def test_every_sample_has_one_share(sizes: list[int], n_shares: int, shuffle: bool) -> None:
    """All shares together yield each sample of each file once; no share waits for what is late."""
    seen = []
    for share in range(n_shares):
        p = plan(sizes, share=share, n_shares=n_shares, seed=1, epoch=2, buffer=4, shuffle=shuffle)
        assert (p.order <= np.arange(len(p.order)) + p.buffer).all()
        seen += list(zip(p.file[p.order].tolist(), p.row[p.order].tolist(), strict=True))
    assert sorted(seen) == [(f, r) for f, size in enumerate(sizes) for r in range(size)]


def test_files_are_dealt_evenly() -> None:
    """Shares of files of one size differ by one file at most."""
    hands = deal([10] * 11, 3, seed=0, epoch=0, shuffle=True)
    assert sorted(len(hand) for hand in hands) == [3, 4, 4]


@pytest.mark.parametrize("other", [{"seed": 1}, {"epoch": 1}])
def test_seed_and_epoch_change_the_order(other: dict[str, int]) -> None:
    """Another seed, or another epoch, gives another order of files and of samples."""
    base = {"share": 0, "n_shares": 1, "seed": 0, "epoch": 0, "buffer": 8, "shuffle": True}
    first, second = plan([8] * 8, **base), plan([8] * 8, **{**base, **other})  # type: ignore[arg-type]
    assert first.file.tolist() != second.file.tolist()
    assert first.order.tolist() != second.order.tolist()


def test_a_buffer_of_all_samples_is_a_uniform_shuffle(seed: int) -> None:
    """Where the buffer holds all, every sample is as likely at every place.

    Chi-square over 6 x 6 cells, 6,000 draws: 25 degrees of freedom, 66 is passed once in 10^5.
    """
    random, counts = np.random.default_rng(seed), np.zeros((6, 6))
    for _ in range(6000):
        counts[np.arange(6), mixed(6, 6, random)] += 1
    assert ((counts - 1000) ** 2 / 1000).sum() < 66
