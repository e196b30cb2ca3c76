"""Batches for training: each sample once, in an order that a seed fixes, to be gone on with."""

import json
import multiprocessing
import pickle
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import fstore
from _build import add_checkpoint, add_dataset, add_layers, put, relu
from fstore.api import streaming
from fstore.api.store import Store
from fstore.errors import DataError, UnknownNameError
from fstore.store.features import read_features
from fstore.store.files import Partition, StoredFile
from fstore.store.shards import read_shard
from fstore.types import (
    DatasetManifest,
    Part,
    SampleRecord,
    Split,
    ViewManifest,
)

if TYPE_CHECKING:
    from fstore.api.torch_loader import Loader

N, FILES = 100, [range(30), range(30, 50), range(50, 61), range(61, 96)]
"""Samples of the data set, and those that each file holds: the last four are not there."""
SHAPE = (3, 2, 2)

more_workers = pytest.mark.filterwarnings("ignore:This DataLoader will create")
"""torch warns where there are more workers than cores."""

Batch = dict[str, torch.Tensor]
Make = Callable[..., "Loader"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store of 96 of 100 samples in four files; the other four cannot be read."""
    store = fstore.create(tmp_path_factory.mktemp("loader") / "store")
    parts: list[Part] = ["train", "train", "val", "test"]
    add_dataset(store, parts=parts * (N // 4))
    add_layers(store, "net", {"conv": SHAPE, "fc": (4, 1, 1)})
    add_checkpoint(store, "net", "c")
    for layer, values in (("conv", relu(1, N, 3, 4)), ("fc", relu(2, N, 4, 1))):
        for ids in FILES:
            partition = Partition("net", "c", "d", "image", layer)
            put(store, partition, values[ids], sample_ids=list(ids))
    gone = [
        {"dataset": "d", "view": "image", "sample_id": i, "uri": f"{i}.png", "reason": "cut"}
        for i in range(96, N)
    ]
    store.append("unreadable", gone)
    return store


@pytest.fixture
def empty(tmp_path: Path) -> Store:
    """Return an empty store."""
    return fstore.create(tmp_path / "store")


@pytest.fixture
def make(store: Store) -> Make:
    """Return a function that makes a loader of layer conv, batches of 8, a buffer of 25."""

    def make(layer: str = "conv", **options: Any) -> "Loader":  # noqa: ANN401
        return store.loader(layer, "c", "d", **{"batch_size": 8, "buffer": 25, **options})

    return make


def ids_of(batches: Sequence[Batch]) -> list[int]:
    """Return the samples of batches in their order."""
    return [int(i) for batch in batches for i in batch["ids"]]


def all_of(made: "Loader", workers: int = 0, **options: Any) -> list[Batch]:  # noqa: ANN401
    """Return all batches of an epoch, got from a DataLoader."""
    return list(DataLoader(made, batch_size=None, num_workers=workers, **options))


# each sample once


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_every_sample_comes_once_an_epoch(make: Make, workers: int) -> None:
    """Workers share the samples; those that are not stored, being unreadable, do not come."""
    made = make()
    batches = all_of(made, workers)
    assert sorted(ids_of(batches)) == list(range(96))
    assert len(batches) == made.batches(workers)
    assert made.n_samples == 96


@pytest.mark.slow
@more_workers
def test_workers_that_have_no_file_yield_nothing(make: Make) -> None:
    """With more workers than files each sample comes once, still."""
    assert sorted(ids_of(all_of(make(), 6))) == list(range(96))


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_ranks_share_the_samples(make: Make, workers: int) -> None:
    """Three ranks, with or without workers, get all samples, none twice."""
    ranks = [all_of(make(rank=r, world_size=3), workers) for r in range(3)]
    assert sorted(ids_of([b for batches in ranks for b in batches])) == list(range(96))


def test_ranks_get_the_same_number_of_whole_batches(make: Make) -> None:
    """With drop_last no rank waits for another, and every batch is whole."""
    for workers in (0, 2):
        made = [make(rank=r, world_size=2, drop_last=True, batch_size=5) for r in range(2)]
        first, second = (all_of(each, workers) for each in made)
        assert len(first) == len(second) == made[0].batches(workers) == made[1].batches(workers)
        assert {len(batch["ids"]) for batch in first + second} == {5}


def test_without_shuffling_samples_ascend(make: Make) -> None:
    """shuffle=False gives the samples in the order of the store."""
    batches = list(make(shuffle=False))
    assert ids_of(batches) == list(range(96))
    assert [len(batch["ids"]) for batch in batches] == [8] * 12


def test_a_part_is_all_that_comes(make: Make) -> None:
    """part=... chooses the samples, as the split has them."""
    ids = ids_of(list(make(part="val")))
    assert sorted(ids) == [i for i in range(96) if i % 4 == 2]


# what comes


@pytest.mark.parametrize("layer", ["conv", "fc"])
def test_responses_are_those_of_read_features(store: Store, make: Make, layer: str) -> None:
    """A batch has for each of its samples what the store's reader of matrices has, as a map."""
    blocks = [X for _, X in read_features(store, Partition("net", "c", "d", "image", layer))]
    expected = np.concatenate(blocks, axis=1)
    for batch in make(layer):
        X = expected[batch["ids"].numpy()]
        shape = (3, 2, 2) if layer == "conv" else (4,)
        assert batch["X"].dtype == torch.float32
        np.testing.assert_array_equal(batch["X"].numpy(), X.reshape(-1, *shape))


def test_pooled_responses_are_those_of_the_maps(make: Make) -> None:
    """pool= gives the largest response of each map, or its mean, to float32's last bit or so."""
    whole = {int(i): x for batch in make() for i, x in zip(batch["ids"], batch["X"], strict=True)}
    for batch in make(pool="max"):
        maps = torch.stack([whole[int(i)] for i in batch["ids"]])
        assert torch.equal(batch["X"], maps.amax((2, 3)))
    for batch in make(pool="mean"):
        maps = torch.stack([whole[int(i)] for i in batch["ids"]])
        torch.testing.assert_close(batch["X"], maps.mean((2, 3)), rtol=1e-6, atol=0)


def test_labels_are_numbers_of_classes(make: Make) -> None:
    """Labels are the class of each sample: here, a and b in turn."""
    made = make()
    assert made.classes == ("a", "b")
    for batch in made:
        assert torch.equal(batch["y"], batch["ids"] % 2)
    assert all("y" not in batch for batch in make(labels=False))


def test_boxes_and_several_labels(empty: Store) -> None:
    """An image of several classes gives a row of 1, -1 and 0, a box its one class.

    Boxes that are flagged difficult come if asked for only.
    """
    shown = [{"a": 1, "b": 1}, {"b": 1}, {"a": 0}]
    images = [SampleRecord(f"i{n}", f"{n}.png", f"{n:032x}", 8, 8, s) for n, s in enumerate(shown)]
    boxes = [
        SampleRecord("i0", "0.png", f"{0:032x}", 8, 8, {"a": 1}, (1, 1, 4, 4)),
        SampleRecord("i1", "1.png", f"{1:032x}", 8, 8, {"b": 1}, (1, 1, 4, 4)),
        SampleRecord("i2", "2.png", f"{2:032x}", 8, 8, {"a": 0}, (1, 1, 4, 4), difficult=True),
    ]
    splits = (Split("official", 0, ("train",) * 3),)
    views = (
        ViewManifest("image", tuple(images), splits),
        ViewManifest("gt", tuple(boxes), splits),
    )
    empty.register_dataset(DatasetManifest("m", "multi", ("a", "b"), empty.path / "x", views))
    add_layers(empty, "net", {"fc": (4, 1, 1)})
    add_checkpoint(empty, "net", "c")
    for view in ("image", "gt"):
        put(empty, Partition("net", "c", "m", view, "fc"), relu(3, 3, 4, 1))
    (batch,) = empty.loader("fc", "c", "m", shuffle=False)
    assert batch["y"].tolist() == [[1, 1], [-1, 1], [0, -1]]
    (batch,) = empty.loader("fc", "c", "m", view="gt", shuffle=False)
    assert (batch["ids"].tolist(), batch["y"].tolist()) == ([0, 1], [0, 1])
    (batch,) = empty.loader("fc", "c", "m", view="gt", shuffle=False, difficult=True)
    assert (batch["ids"].tolist(), batch["y"].tolist()) == ([0, 1, 2], [0, 1, 0])


def test_a_sample_that_was_never_extracted_is_asked_for(empty: Store) -> None:
    """Where a part lacks samples that could be read, the error has the command that makes them."""
    add_dataset(empty, parts=["train"] * 4)
    add_layers(empty, "net", {"fc": (4, 1, 1)})
    add_checkpoint(empty, "net", "c")
    put(empty, Partition("net", "c", "d", "image", "fc"), relu(1, 2, 4, 1))
    with pytest.raises(UnknownNameError, match=r"lacks activations of 2 of 4 .* fstore extract"):
        empty.loader("fc", "c", "d", part="train")


def test_bits_are_refused_unless_asked_for(empty: Store) -> None:
    """Responses of which only the sign is stored come to nobody who did not say they will do."""
    add_dataset(empty)
    add_layers(empty, "net", {"fc": (4, 1, 1)})
    add_checkpoint(empty, "net", "c")
    signs = (relu(1, 6, 4, 1) > 0).astype(np.float32)
    identity = {"weights": "w", "samples": "s", "stored precision": "bit"}
    put(empty, Partition("net", "c", "d", "image", "fc"), signs, identity=identity)
    with pytest.raises(DataError, match="stored as bits"):
        empty.loader("fc", "c", "d")
    (batch,) = empty.loader("fc", "c", "d", bits=True, shuffle=False)
    np.testing.assert_array_equal(batch["X"].numpy(), signs[:, :, 0])


def test_what_is_added_later_is_not_seen(empty: Store) -> None:
    """A loader reads the files that there were when it was made."""
    add_dataset(empty, parts=["train"] * 8)
    add_layers(empty, "net", {"fc": (4, 1, 1)})
    add_checkpoint(empty, "net", "c")
    partition = Partition("net", "c", "d", "image", "fc")
    put(empty, partition, relu(1, 4, 4, 1))
    made = empty.loader("fc", "c", "d")
    put(empty, partition, relu(1, 4, 4, 1), sample_ids=range(4, 8))
    assert sorted(ids_of(list(made))) == [0, 1, 2, 3]
    assert sorted(ids_of(list(empty.loader("fc", "c", "d")))) == list(range(8))


# the order


@pytest.mark.parametrize("workers", [0, 2])
def test_seed_and_epoch_fix_the_order(make: Make, workers: int) -> None:
    """The same seed and epoch give the same order; another epoch, or seed, another one."""
    made = make()
    first = ids_of(all_of(made, workers))
    assert ids_of(all_of(make(), workers)) == first
    assert ids_of(all_of(make(seed=1), workers)) != first
    made.set_epoch(1)
    assert ids_of(all_of(made, workers)) != first
    made.set_epoch(0)
    assert ids_of(all_of(made, workers)) == first


def test_workers_that_stay_hear_of_the_next_epoch(make: Make) -> None:
    """set_epoch reaches persistent workers, too."""
    made = make()
    lasting = DataLoader(made, batch_size=None, num_workers=2, persistent_workers=True)
    orders = []
    for epoch in (0, 1):
        made.set_epoch(epoch)
        orders.append(ids_of(list(lasting)))
    made = make()
    made.set_epoch(1)
    assert orders[1] == ids_of(all_of(made, 2)) != orders[0]


def test_samples_are_mixed_beyond_their_files(make: Make, seed: int) -> None:
    """A sample's place in an epoch says little of its number.

    Over 40 epochs of 96 samples the correlation of place and number has a standard deviation of
    1 / sqrt(95 x 40) = 0.016 were they independent; files that follow each other raise it. The
    mean over epochs stays below 0.1, where the order of the store has 1.
    """
    made, correlations = make(seed=seed), []
    for epoch in range(40):
        made.set_epoch(epoch)
        correlations.append(np.corrcoef(np.arange(96), ids_of(list(made)))[0, 1])
    assert abs(np.mean(correlations)) < 0.1


def test_a_batch_has_samples_of_several_files(make: Make) -> None:
    """With a buffer that is larger than a file, batches mix files."""
    of_file = np.repeat(np.arange(len(FILES)), [len(f) for f in FILES])
    mixed = [len(set(of_file[batch["ids"].numpy()])) for batch in make(buffer=60)]
    assert np.mean(mixed) > 1.9


# going on


def same(first: Sequence[Batch], second: Sequence[Batch]) -> bool:
    """Whether batches are equal, responses and all."""
    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("done", [0, 1, 5, 11, 12])
def test_a_run_goes_on_with_the_next_batch(make: Make, done: int) -> None:
    """After k batches and a state that went through JSON, another loader gives batch k + 1 on."""
    made = make()
    made.set_epoch(3)
    whole = list(made)
    stopped = iter(made)
    assert same(list(islice(stopped, done)), whole[:done])
    state = json.loads(json.dumps(made.state_dict())) if done else make_state(make, epoch=3)
    other = make()
    other.load_state_dict(state)
    assert other.epoch == 3
    assert same(list(other), whole[done:])
    assert same(list(other), whole)  # read to its end, an epoch begins anew


def make_state(make: Make, epoch: int) -> dict[str, Any]:
    """Return the state of a loader that gave nothing yet."""
    made = make()
    made.set_epoch(epoch)
    return made.state_dict()


@more_workers
@pytest.mark.parametrize(("workers", "done"), [(1, 4), (2, 11), (3, 7)])
def test_workers_go_on_with_the_next_batch(make: Make, workers: int, done: int) -> None:
    """Told how many batches a DataLoader gave, its workers give the rest in the same order."""
    made = make()
    whole = all_of(made, workers)
    other = make()
    other.load_state_dict(made.state_dict(batches=done, workers=workers))
    assert same(all_of(other, workers), whole[done:])


def test_each_worker_can_say_where_it_stands(make: Make) -> None:
    """State taken and loaded inside workers, as StatefulDataLoader does, goes on in each of them.

    Here the two workers are asked for their state after every batch, by a data set around them.
    """
    whole = all_of(make(), 2)
    told = list(DataLoader(Telling(make()), batch_size=None, num_workers=2))
    assert same([batch for batch, _ in told], whole)
    last = {state["worker"]: state for _, state in told[:5]}
    assert sorted((s["worker"], s["batches"]) for s in last.values()) == [(0, 3), (1, 2)]
    rest = list(DataLoader(GoingOn(make(), last), batch_size=None, num_workers=2))
    assert sorted(ids_of(rest)) == sorted(ids_of(whole[5:]))


class Telling(torch.utils.data.IterableDataset[Any]):
    """Batches of a loader, each with the state after it."""

    def __init__(self, made: "Loader") -> None:
        self.made = made

    def __iter__(self) -> Iterator[tuple[Batch, dict[str, Any]]]:
        for batch in self.made:
            yield batch, self.made.state_dict()


class GoingOn(torch.utils.data.IterableDataset[Any]):
    """A loader that takes up, in each worker, the state of that worker."""

    def __init__(self, made: "Loader", states: dict[int, dict[str, Any]]) -> None:
        self.made, self.states = made, states

    def __iter__(self) -> Iterator[Batch]:
        info = torch.utils.data.get_worker_info()
        assert info is not None
        self.made.load_state_dict(self.states[info.id])
        return iter(self.made)


def test_another_epoch_begins_at_its_beginning(make: Make) -> None:
    """A state is that of its epoch alone."""
    made, other = make(), make()
    other.load_state_dict(made.state_dict(batches=4))
    other.set_epoch(1)
    made.set_epoch(1)
    assert same(list(other), list(made))


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch_size": 9}, {"buffer": 3}, {"part": "val"}])
def test_a_state_of_another_order_is_refused(make: Make, change: dict[str, Any]) -> None:
    """What would go on in another order is not gone on with."""
    with pytest.raises(DataError, match="another order"):
        make(**change).load_state_dict(make().state_dict())


def test_a_state_of_other_workers_is_refused(make: Make) -> None:
    """The number of workers is part of the order; whoever changed it is told."""
    made = make()
    made.load_state_dict(made.state_dict(batches=2, workers=2))
    with pytest.raises(DataError, match="num_workers=2"):
        next(iter(made))
    with pytest.raises(DataError, match="no state of a loader"):
        made.load_state_dict({"epoch": 1})


def test_files_that_are_done_are_not_read_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gone on with, an epoch reads only files that it needs; each is read once in an epoch."""
    seen: list[str] = []

    def counting(file: StoredFile, *given: Any, **options: Any) -> Any:  # noqa: ANN401
        seen.append(file.name)
        return read_shard(file, *given, **options)

    monkeypatch.setattr(streaming, "read_shard", counting)
    made = make(shuffle=False)
    list(made)
    assert len(seen) == len(set(seen)) == len(FILES)
    made.load_state_dict(made.state_dict(batches=7))  # 56 samples: two files and a half
    seen.clear()
    assert ids_of(list(made)) == list(range(56, 96))
    assert len(seen) == 2


# around it


@pytest.mark.slow
def test_it_goes_to_workers_that_are_spawned(make: Make) -> None:
    """It can be pickled, and new processes read from it."""
    made = make()
    assert same(list(pickle.loads(pickle.dumps(made))), list(made))  # noqa: S301 - our own
    spawned = all_of(made, 1, multiprocessing_context=multiprocessing.get_context("spawn"))
    assert same(spawned, list(made))


def test_it_says_what_it_is(make: Make) -> None:
    """Its repr has the layer, the samples and the options."""
    assert repr(make()) == (
        "<Loader of net/c d.image conv: 96 samples of 3 x 2 x 2, batch_size=8, shuffle=True, "
        "seed=0, buffer=25, epoch=0>"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"buffer": 0}, "buffer=0"),
        ({"pool": "median"}, "pool='median'"),
        ({"rank": 1}, "together"),
        ({"rank": 2, "world_size": 2}, "rank=2 of world_size=2"),
        ({"seed": -1}, "counts from 0"),
    ],
)
def test_options_out_of_range_are_refused(
    make: Make, options: dict[str, Any], message: str
) -> None:
    """The error names the option and its value."""
    with pytest.raises(DataError, match=message):
        make(**options)


def test_a_file_that_is_gone_is_named(empty: Store) -> None:
    """If a file is deleted under a loader, the error says which."""
    add_dataset(empty)
    add_layers(empty, "net", {"fc": (4, 1, 1)})
    add_checkpoint(empty, "net", "c")
    path: Path = put(empty, Partition("net", "c", "d", "image", "fc"), relu(1, 6, 4, 1))
    made = empty.loader("fc", "c", "d")
    path.unlink()
    with pytest.raises(Exception, match=path.name):
        list(made)
