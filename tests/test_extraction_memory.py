"""What an extraction holds in memory: its rules by hand, and the peak of a run counted."""

import weakref
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fstore.errors import DataError
from fstore.extractor import extract as loop
from fstore.store import Store
from fstore.types import ActivationBatch, LayerResponses, LayerSpec
from fstore.workflows.extract import memory
from fstore.workflows.extract import run as extraction
from fstore.workflows.extract.memory import Room, kept_bytes
from fstore.workflows.extract.plan import Chosen, ExtractionOptions
from test_extraction import N_IMAGES, all_rows, fill, make_images, make_store

MIB = 1 << 20


@pytest.fixture
def fresh(tmp_path: Path) -> Store:
    """Give a store of a few images without activations."""
    return make_store(tmp_path / "store", make_images(tmp_path / "images"))


def test_without_the_option_sizes_are_the_usual_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little memory a machine has: the layout of files does not depend on it."""
    monkeypatch.setattr(memory, "machine_memory", lambda: MIB)
    room = Room(memory=None, kept=100 * MIB, inputs=MIB)
    assert (room.samples(24), room.batch(32), room.ahead(32)) == (24, 32, 2)
    assert room.behind(24, encoders=8) == 1


@pytest.mark.parametrize(
    ("gib", "encoders", "shards"), [(1, 8, 1), (3, 8, 1), (4, 8, 2), (64, 8, 2), (64, 1, 1)]
)
def test_two_shards_are_behind_where_there_is_room(
    monkeypatch: pytest.MonkeyPatch, gib: int, encoders: int, shards: int
) -> None:
    """Three quarters of half of the machine, in shards of 512 MiB, less the one in the making."""
    monkeypatch.setattr(memory, "machine_memory", lambda: gib << 30)
    room = Room(memory=None, kept=MIB, inputs=1)
    assert room.behind(512, encoders=encoders) == shards


def test_an_option_makes_shards_and_batches_smaller() -> None:
    """Of 64 MiB 48 hold two shards of 24 samples of a MiB, 16 two batches of 8 inputs of one."""
    room = Room(memory=64 * MIB, kept=MIB, inputs=MIB)
    assert (room.samples(1000), room.samples(12)) == (24, 12)
    assert (room.batch(32), room.batch(4)) == (8, 4)
    assert (room.ahead(8), room.ahead(4)) == (1, 2)
    assert (room.behind(24, encoders=8), room.behind(12, encoders=8)) == (1, 2)


def test_too_little_is_refused() -> None:
    """The message says how much would do, and so much does."""
    with pytest.raises(DataError, match="at least 2667, or fewer layers"):
        Room(memory=2600, kept=1000, inputs=10).samples(24)
    assert Room(memory=2667, kept=1000, inputs=10).samples(24) == 1


def test_batches_that_were_asked_for_fit_or_are_refused() -> None:
    """16 of 64 MiB hold two batches of 8 samples of a MiB; the message says what would do."""
    room = Room(memory=64 * MIB, kept=MIB, inputs=MIB)
    for fits in (None, 1, 5, 7, 8):
        room.check_batch(fits)
    with pytest.raises(DataError, match=f"--batch-size 8, or --memory {72 * MIB}, or leave"):
        room.check_batch(9)
    Room(memory=72 * MIB, kept=MIB, inputs=MIB).check_batch(9)
    Room(memory=None, kept=MIB, inputs=MIB).check_batch(1000)


def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Count the bytes of responses that are alive, from the forward pass on."""
    alive = {"now": 0, "peak": 0}

    def gone(size: int) -> None:
        alive["now"] -= size

    def noted(*given: Any, **how: Any) -> Iterator[tuple[ActivationBatch | None, Any]]:  # noqa: ANN401
        for batch, bad in run(*given, **how):
            for responses in [] if batch is None else batch.layers.values():
                for column in {id(c): c for c in columns(responses)}.values():
                    alive["now"] += column.nbytes
                    weakref.finalize(column, gone, column.nbytes)
            alive["peak"] = max(alive["peak"], alive["now"])
            yield batch, bad
            del batch

    run = loop.extract
    monkeypatch.setattr(loop, "extract", noted)
    return alive


def columns(responses: LayerResponses) -> list[np.ndarray[Any, Any]]:
    """Return the arrays of a layer."""
    found = [getattr(responses, f.name) for f in fields(responses)]
    return [column for column in found if column is not None]


@pytest.mark.slow
def test_the_peak_follows_the_option(fresh: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is retained stays under three quarters of the option, and grows as it does.

    A thread that has just written a shard may hold it for an instant longer, if another process
    takes its core then. So the least of three peaks counts; what is kept too long is in all.
    """
    options = ExtractionOptions(workers=1)
    chosen = Chosen(["all"], ["random"])
    job = extraction.Extraction(fresh, chosen, options).planner.jobs()[0]
    peaks = []
    for samples in (1, 4):
        given = -(-8 * job.room.kept * samples // 3)
        runs = []
        for _ in range(3):
            with monkeypatch.context() as patch:
                alive = counted(patch)
                run = extraction.Extraction(fresh, chosen, replace(options, memory=given))
                jobs = run.plan()
                assert [len(s) for s in jobs[0].shards()] == [samples] * (N_IMAGES // samples)
                run.do(jobs)
            assert run.summary.samples == N_IMAGES
            assert alive["now"] == 0
            runs.append(alive["peak"])
            fresh.drop(network="caffenet-mini")
        peaks.append(min(runs))
        assert 0.9 * samples * job.room.kept <= peaks[-1] <= 0.75 * given + 1
    assert peaks[1] >= 1.5 * peaks[0]


def test_what_is_kept_of_a_sample() -> None:
    """A map of 2 x 3 has six values and 24 bytes of summaries; a single value is all there is."""
    specs = LayerSpec("a", 5, 2, 3, "conv", 0, ""), LayerSpec("b", 5, 1, 1, "fc", 1, "")
    assert kept_bytes(specs) == 5 * (6 * 4 + 24) + 5 * 4


def test_the_values_are_the_same(tmp_path: Path) -> None:
    """With a bound the same batches give the same rows, whatever the number of encoders."""
    images = make_images(tmp_path / "images")
    found = []
    for number, (samples, encoders) in enumerate([(N_IMAGES, None), (4, 1), (4, 3)]):
        store = make_store(tmp_path / f"store{number}", images)
        options = ExtractionOptions(batch_size=1, encoders=encoders, workers=1)
        chosen = Chosen(["conv1", "conv2"], ["random"])
        room = extraction.Extraction(store, chosen, options).planner.jobs()[0].room
        bound = -(-8 * room.kept * samples // 3)
        fill(store, "conv1", "conv2", options=replace(options, memory=bound))
        found.append(all_rows(store))
        assert len(store.files()) == 2 * N_IMAGES // samples
    assert found[0] == found[1] == found[2]
