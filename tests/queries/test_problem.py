"""What a classifier learns from: rows, labels and parts, also of several data sets."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest

from _build import add_checkpoint, put
from _problems import CLASSES, N, World, add_manifest, make
from fstore.errors import DataError, UnknownNameError
from fstore.queries.samples.labels import check_apart
from fstore.queries.samples.problem import Problem, problem, split_samples
from fstore.store.files import Partition
from fstore.store.parts import Samples
from fstore.types import Part


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a store with one data set of sixty samples."""
    return make(tmp_path / "s")


def random_samples(world: World, seeds: tuple[int, ...] = (0, 1, 2)) -> list[Samples]:
    """Return all parts of the random splits."""
    return [
        s
        for seed in seeds
        for s in split_samples(world.store, "d", "image", split="random", seed=seed)
    ]


def of(world: World, samples: list[Samples], layer: str = "fc") -> Problem:
    """Put a problem together."""
    return problem(world.store, samples, network="net", ckpt="5", layer=layer)


def test_splits_index_one_matrix(world: World) -> None:
    """Three splits share the rows; each part is the manifest's, labels are the samples'."""
    found = of(world, random_samples(world))
    assert found.classes == CLASSES
    assert np.array_equal(found.Y, world.Y)
    assert list(found.splits) == [0, 1, 2]
    for seed, parts in found.splits.items():
        for name in ("train", "val", "test"):
            assert np.array_equal(getattr(parts, name), world.rows(seed, name))


def test_two_data_sets_are_one(world: World) -> None:
    """Rows of a second data set follow; its one split takes part in the runs of all seeds."""
    Y = world.Y[::-1].copy()
    add_manifest(world.store, "e", Y, {0: world.parts[1]}, first=N)
    put(world.store, Partition("net", "5", "e", "image", "fc"), world.values["fc"])
    more = split_samples(world.store, "e", "image", split="official", seed=0)
    found = of(world, random_samples(world) + more)
    assert np.array_equal(found.Y, np.concatenate([world.Y, Y]))
    assert [row.partition.dataset for row in found.rows] == ["d", "e"]
    for seed, parts in found.splits.items():
        both = np.concatenate([world.rows(seed, "test"), N + world.rows(1, "test")])
        assert np.array_equal(parts.test, both)


def test_test_images_of_one_are_not_learned_from_in_another(world: World) -> None:
    """Data sets that share images are refused where one tests on what the other learns from."""
    for name, first in (("e", 0), ("f", N - 1)):
        add_manifest(
            world.store, name, world.Y, {0: world.parts[0], 1: world.parts[1]}, first=first
        )
        put(world.store, Partition("net", "5", name, "image", "fc"), world.values["fc"])
    same, other, shifted = (
        split_samples(world.store, name, "image", split="random", seed=seed)
        for name, seed in (("e", 0), ("e", 1), ("f", 1))
    )
    own = split_samples(world.store, "d", "image", split="random", seed=0)
    assert len(of(world, own + same).splits[0].test) == 2 * world.parts[0].count("test")
    pairs = list(zip(world.parts[0], world.parts[1], strict=True))
    n = sum(pair == ("test", "train") for pair in pairs)
    shared = next(i for i, pair in enumerate(pairs) if pair == ("test", "train"))
    message = (
        rf"{n} test images of 'd' \(random:0:test\) are among the training images of 'e' "
        rf"\(random:1:train\), such as 'i{shared}'; leave one of these parts out"
    )
    with pytest.raises(DataError, match=message):
        of(world, own + other)
    with pytest.raises(DataError, match=rf"1 test images of .* such as 'i0' \('i{N - 1}' there\)"):
        of(world, own + shifted)


def test_splits_of_one_data_set_may_share_images(world: World) -> None:
    """Parts of one split are apart; parts of two splits of a data set are looked at."""
    official, random = (
        {p: Samples("d", "image", split, seed, p) for p in ("train", "test")}
        for split, seed in (("official", 0), ("random", 1))
    )
    check_apart(world.store, [official["train"]], [official["test"]])
    n = sum(pair == ("test", "train") for pair in zip(world.parts[0], world.parts[1], strict=True))
    message = rf"{n} test images of 'd' \(official:test\) are among .* of 'd' \(random:1:train\)"
    with pytest.raises(DataError, match=message):
        check_apart(world.store, [random["train"]], [official["test"]])


def test_different_numbers_of_seeds(world: World) -> None:
    """Two seeds of one data set and three of another cannot be paired."""
    add_manifest(world.store, "e", world.Y, {0: world.parts[0], 1: world.parts[1]})
    put(world.store, Partition("net", "5", "e", "image", "fc"), world.values["fc"])
    more = [
        s for k in (0, 1) for s in split_samples(world.store, "e", "image", split="random", seed=k)
    ]
    with pytest.raises(DataError, match="d 3, e 2"):
        of(world, random_samples(world) + more)


def test_layer_not_extracted(world: World) -> None:
    """The error names the command that makes the activations."""
    with pytest.raises(UnknownNameError, match="fstore extract --layer conv9 --ckpt net/5"):
        of(world, random_samples(world), layer="conv9")


def test_samples_without_activations(world: World) -> None:
    """Activations of some samples only are an error that counts them and says what to do."""
    partition = Partition("net", "7", "d", "image", "fc")
    add_checkpoint(world.store, "net", "7")
    put(world.store, partition, world.values["fc"][:50])
    samples = random_samples(world, (0,))
    with pytest.raises(UnknownNameError, match=r"lacks activations of \d+ of 30 samples; make"):
        problem(world.store, samples, network="net", ckpt="7", layer="fc")


def test_unreadable_images_are_left_out(world: World) -> None:
    """A sample that an extraction quarantined is left out of every part, without an error."""
    partition = Partition("net", "7", "d", "image", "fc")
    kept = [n for n in range(N) if n != 4]
    put(world.store, partition, world.values["fc"][kept], sample_ids=kept)
    bad = {"dataset": "d", "view": "image", "sample_id": 4, "uri": "4.png", "reason": "truncated"}
    world.store.append("unreadable", [bad])
    samples = random_samples(world, (0,))
    found = problem(world.store, samples, network="net", ckpt="7", layer="fc")
    assert np.array_equal(found.rows[0].ids, kept)
    assert np.array_equal(found.Y, world.Y[kept])
    parts = found.splits[0]
    rows = np.sort(np.concatenate([parts.train, parts.val, parts.test]))
    assert np.array_equal(rows, np.arange(N - 1))


def test_no_such_split(world: World) -> None:
    """A split that is not there is named, with those that are."""
    samples = split_samples(world.store, "d", "image", split="random", seed=9)
    with pytest.raises(
        UnknownNameError, match=r"no part 'random:9:train'; it has: .*random:2:test"
    ):
        of(world, samples)


def test_a_split_without_a_test_part(world: World) -> None:
    """Where a split has train and val only, as ImageNet's, val is what is tested on."""
    parts = [("val" if part == "test" else "train") for part in world.parts[0]]
    add_manifest(world.store, "e", world.Y, {0: cast("list[Part]", parts)})
    put(world.store, Partition("net", "5", "e", "image", "fc"), world.values["fc"])
    samples = split_samples(world.store, "e", "image", split="official", seed=0)
    assert [s.part for s in samples] == ["train", "val"]
    found = of(world, samples).splits[0]
    assert np.array_equal(found.test, world.rows(0, "test"))
    assert np.array_equal(found.train, world.rows(0, "train", "val"))
    assert len(found.val) == 0
