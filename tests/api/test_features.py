"""``store.features``: the matrix, its rows, what is taken of it, and what is refused."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import fstore
from _build import add_checkpoint, add_dataset, add_layers, put, relu
from conftest import CKPTS, NETWORK, SHAPES, Known
from fstore.errors import DataError, StorageError, UnknownNameError
from fstore.store.files import Partition
from fstore.types import DatasetManifest, Part, SampleRecord, Split, ViewManifest

LAYERS = sorted(SHAPES)
ABLATIONS: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "binarize": lambda maps: (maps > 0).astype(np.float32),
    "sp_max": lambda maps: maps.max(axis=2, keepdims=True),
    "sp_mean": lambda maps: maps.mean(axis=2, keepdims=True, dtype=np.float64).astype(np.float32),
    "threshold=0.5": lambda maps: np.where(maps > 0.5, maps, 0).astype(np.float32),
}


def features(known: Known, layer: str, **asked: str) -> fstore.Features:
    """Ask the store of known responses, opened as a user opens it."""
    store = fstore.open(known.store.path)
    return store.features(layer, CKPTS[0], "d", **asked)  # type: ignore[arg-type]


def flat(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return maps as rows."""
    return maps.reshape(len(maps), -1)


@pytest.mark.parametrize("layer", LAYERS)
def test_x_is_what_was_stored(known: Known, layer: str) -> None:
    """Rows are samples in order, columns channels of places; dense, sparse, and without maps."""
    X = features(known, layer).X
    assert np.array_equal(X, flat(known.values[CKPTS[0], layer]))
    assert X.dtype == np.float32
    assert X.flags.c_contiguous
    assert X.flags.writeable
    assert X.shape == features(known, layer).shape


@pytest.mark.parametrize("layer", LAYERS)
def test_pools_are_those_of_the_maps(known: Known, layer: str) -> None:
    """Mean and max over places are those of whole maps, though no map is read."""
    maps = known.values[CKPTS[0], layer]
    assert np.array_equal(features(known, layer, pool="max").X, maps.max(axis=2))
    mean = features(known, layer, pool="mean").X
    assert np.allclose(mean, maps.mean(axis=2, dtype=np.float64), rtol=1e-6, atol=0)
    assert mean.dtype == np.float32


def test_a_pool_reads_no_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The columns that are decoded for a pool are the summaries."""
    from _build import build
    from fstore.store.readers import Reader

    store = fstore.open(build(tmp_path / "store").store.path)
    read: list[str] = []
    plain = Reader._pages_of

    def noting(self: Reader, i: int) -> object:
        read.append(self.column)
        return plain(self, i)

    monkeypatch.setattr(Reader, "_pages_of", noting)
    for pool in ("max", "mean"):
        assert store.features("conv1", "5", "d", pool=pool).X.shape == (6, 3)
    assert set(read) == {"act_max", "act_sum"}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("ablation", sorted(ABLATIONS))
def test_ablations_are_numpys(known: Known, layer: str, ablation: str) -> None:
    """An ablation gives what NumPy makes of the responses, pooled afterwards or not."""
    changed = ABLATIONS[ablation](known.values[CKPTS[0], layer])
    assert np.array_equal(features(known, layer, ablation=ablation).X, flat(changed))
    pooled = features(known, layer, ablation=ablation, pool="max").X
    assert np.array_equal(pooled, changed.max(axis=2))


def test_none_is_no_ablation(known: Known) -> None:
    """The name of the ablation that changes nothing may be written out."""
    same = features(known, "conv1", ablation="none").X
    assert np.array_equal(same, features(known, "conv1").X)


def test_rows_are_told(known: Known) -> None:
    """Ids, images, files, classes and labels are those of the rows."""
    own = features(known, "fc7")
    assert own.ids.tolist() == list(range(12))
    assert own.images[:2] == ["i0", "i1"]
    assert own.paths[1] == known.store.path / "x" / "1.png"
    assert own.classes == ("a", "b")
    assert own.y.tolist() == [0, 1] * 6
    assert own.y.dtype == np.int64
    assert own.Y.tolist() == [[1, -1], [-1, 1]] * 6
    assert len(own) == 12


@pytest.mark.parametrize(
    ("part", "ids"), [("train", [0, 1, 6, 7]), ("trainval", [0, 1, 2, 6, 7, 8])]
)
def test_parts(known: Known, part: str, ids: list[int]) -> None:
    """A part has its samples and their rows alone."""
    own = features(known, "conv1", part=part)
    assert own.ids.tolist() == ids
    assert np.array_equal(own.X, flat(known.values[CKPTS[0], "conv1"])[ids])
    assert own.y.tolist() == [i % 2 for i in ids]


def test_a_split_needs_a_part(known: Known) -> None:
    """A split alone is refused, as by the commands; a part names no split."""
    with pytest.raises(DataError, match="add part='train'"):
        features(known, "conv1", split="official")
    with pytest.raises(DataError, match="write split='official', part='test'"):
        features(known, "conv1", part="official:test")
    with pytest.raises(UnknownNameError, match="names no part"):
        features(known, "conv1", part="dev")


def test_one_of_several_splits_is_asked_for(tmp_path: Path) -> None:
    """Where there are several splits and no official one none is taken silently."""
    store = fstore.create(tmp_path / "store")
    samples = tuple(SampleRecord(f"i{n}", f"{n}", f"{n:032x}", 8, 8, {"a": 1}) for n in range(4))
    orders: list[tuple[Part, ...]] = [("train", "test") * 2, ("test", "test", "train", "train")]
    splits = tuple(Split("random", n, parts) for n, parts in enumerate(orders))
    view = ViewManifest("image", samples, splits)
    store.register_dataset(DatasetManifest("d", "single", ("a",), tmp_path, (view,)))
    add_layers(store, "net", {"fc": (2, 1, 1)})
    put(store, Partition("net", "5", "d", "image", "fc"), relu(1, 4, 2, 1))
    with pytest.raises(UnknownNameError, match="random:1"):
        store.features("fc", "5", "d", part="test")
    asked = store.features("fc", "5", "d", split="random:1", part="test")
    assert asked.ids.tolist() == [0, 1]


def test_slices_are_rows(known: Known) -> None:
    """A slice, a mask, numbers in any order and repeated ones give those rows of everything."""
    whole = features(known, "conv1")
    X, y = whole.X, whole.y
    mask = np.arange(12) % 3 == 0
    for which in (slice(2, 9, 2), mask, [5, 1, 5], np.array([-1, 0])):
        fresh = features(known, "conv1")[which]
        assert np.array_equal(fresh.X, X[which])
        assert np.array_equal(whole[which].X, X[which])  # cut from what was read
        assert np.array_equal(fresh.y, y[which])
        assert fresh.images == np.array(whole.images)[which].tolist()
    assert features(known, "conv1")[3].X.shape == (1, 48)
    assert features(known, "conv1")[:0].X.shape == (0, 48)


def test_an_ablation_over_all_samples_is_not_cut(known: Known) -> None:
    """Rows whose values depend on the others are not told apart: .X is sliced instead."""
    whole = features(known, "conv1", ablation="l2_columns")
    assert np.allclose(np.linalg.norm(whole.X, axis=0), 1, atol=1e-6)
    with pytest.raises(DataError, match=r"slice \.X"):
        whole[:3]


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    """Features are made, cut and shown without opening a file of responses."""
    from _build import build

    store = fstore.open(build(tmp_path / "store").store.path)
    for file in store.files(layer="conv1"):
        Path(file.uri).write_bytes(b"")
    with pytest.raises(StorageError):
        store.features("conv1", "5", "d")  # which precision is stored is looked at
    shutil.rmtree(tmp_path / "store")
    again = fstore.open(build(tmp_path / "store").store.path)
    own = again.features("conv1", "5", "d")[2:]
    for file in again.files(layer="conv1"):
        Path(file.uri).unlink()
    assert own.shape == (4, 12)
    assert "4 samples x 12 values" in repr(own)
    with pytest.raises(StorageError):
        _ = own.X


def test_frames_and_tensors(known: Known) -> None:
    """Polars has a row a sample; a tensor shares the matrix's memory."""
    own = features(known, "conv1", part="val")
    frame = own.polars()
    assert frame["sample_id"].to_list() == [2, 8]
    assert frame["classes"].to_list() == [["a"], ["a"]]
    assert np.array_equal(frame["features"].to_numpy(), own.X)
    tensor = own.torch()
    tensor[0, 0] = 7
    assert own.X[0, 0] == 7
    assert np.asarray(own).shape == own.shape
    assert own.maps.shape == (2, 3, 4, 4)


def test_several_classes_have_no_y(tmp_path: Path) -> None:
    """An image that may show several classes has Y only; so has one without labels."""
    store = fstore.create(tmp_path / "store")
    samples = tuple(SampleRecord(f"i{n}", f"{n}", f"{n:032x}", 8, 8, {"a": 1}) for n in range(2))
    for name, task, classes in (("multi", "multi", ("a", "b")), ("bare", "none", ())):
        own = (
            samples
            if classes
            else tuple(SampleRecord(s.image_id, s.uri, s.digest, 8, 8, {}) for s in samples)
        )
        view = ViewManifest("image", own)
        store.register_dataset(DatasetManifest(name, task, classes, tmp_path, (view,)))  # type: ignore[arg-type]
        put(store, Partition("net", "5", name, "image", "fc"), relu(1, 2, 2, 1))
    add_layers(store, "net", {"fc": (2, 1, 1)})
    several = store.features("fc", "5", "multi")
    with pytest.raises(DataError, match=r"use \.Y"):
        _ = several.y
    assert several.Y.tolist() == [[1, -1], [1, -1]]
    with pytest.raises(DataError, match="no labels"):
        _ = store.features("fc", "5", "bare").y


def test_difficult_boxes_are_left_out(tmp_path: Path) -> None:
    """Boxes that are flagged difficult come only when they are asked for."""
    store = fstore.create(tmp_path / "store")
    boxes = tuple(
        SampleRecord("i", "i", "0" * 32, 8, 8, {"a": int(n != 1)}, (1, 1, 4, 4), n == 1)
        for n in range(3)
    )
    view = ViewManifest("gt", boxes)
    store.register_dataset(DatasetManifest("d", "multi", ("a", "b"), tmp_path, (view,)))
    add_layers(store, "net", {"fc": (2, 1, 1)})
    values = relu(1, 3, 2, 1)
    put(store, Partition("net", "5", "d", "gt", "fc"), values)
    plain = store.features("fc", "5", "d", view="gt")
    assert plain.ids.tolist() == [0, 2]
    assert np.array_equal(plain.X, flat(values)[[0, 2]])
    every = store.features("fc", "5", "d", view="gt", difficult=True)
    assert every.y.tolist() == [0, 0, 0]


def test_bits_are_refused_as_responses(tmp_path: Path) -> None:
    """Signs alone are handed out as binarized features, never as responses."""
    store = fstore.create(tmp_path / "store")
    add_dataset(store)
    add_layers(store, "net", {"fc": (4, 1, 1)})
    add_checkpoint(store, "net", "5")
    bits = (relu(1, 6, 4, 1) > 0).astype(np.float32)
    identity = {"weights": "5", "stored precision": "bit"}
    put(store, Partition("net", "5", "d", "image", "fc"), bits, identity=identity)
    with pytest.raises(DataError, match="stored as bits"):
        store.features("fc", "5", "d")
    assert np.array_equal(store.features("fc", "5", "d", ablation="binarize").X, flat(bits))


def test_names_that_are_not_there(known: Known) -> None:
    """A name that is not there is refused when it is asked for, with those there are."""
    for asked, match in (
        ({"ablation": "blur"}, "no ablation 'blur'"),
        ({"view": "gt"}, "no view 'gt'"),
        ({"network": "other"}, "those of"),
    ):
        with pytest.raises(UnknownNameError, match=match):
            features(known, "conv1", **asked)
    with pytest.raises(DataError, match="pool='sum'"):
        features(known, "conv1", pool="sum")
    with pytest.raises(UnknownNameError, match="no activations of layer 'conv9'"):
        features(known, "conv9")


def test_networks_that_share_a_name_are_told_apart(known: Known) -> None:
    """NETWORK/NAME and network= mean the same checkpoint."""
    store = fstore.open(known.store.path)
    whole = store.features("fc7", f"{NETWORK}/{CKPTS[1]}", "d").X
    assert np.array_equal(whole, store.features("fc7", CKPTS[1], "d", network=NETWORK).X)


def test_a_store_is_pickled_as_its_folder(known: Known) -> None:
    """A store that was sent to another process is open there."""
    sent = pickle.loads(pickle.dumps(fstore.open(known.store.path)))  # noqa: S301 - our own
    assert sent.path == known.store.path
    assert type(sent) is fstore.Store


@pytest.mark.parametrize("call", [fstore.open, fstore.create])
def test_other_servers_are_refused_in_words(call: object) -> None:
    """A server of files is no place of a store: the error says so."""
    with pytest.raises(StorageError, match="http://host/store is a URI"):
        call("http://host/store")  # type: ignore[operator]


@pytest.mark.parametrize("read_before", [False, True])
def test_a_tuple_does_not_cut_features(digits: fstore.Store, read_before: bool) -> None:
    """Rows and columns at once are refused, whether X was read before or not."""
    features = digits.features("fc7", "random", "digits")
    if read_before:
        assert features.X.shape[0] == len(features)
    with pytest.raises(fstore.UnknownNameError, match="by sample only"):
        features[1, 2]
    assert len(features[[]]) == 0


def test_names_are_single_texts(digits: fstore.Store) -> None:
    """A list of layers, a number for a part: refused with what was given, nothing is guessed."""
    for wrong in ({"layer": ["fc7"]}, {"part": 3}, {"ablation": 3}, {"split": ["official"]}):
        given: dict[str, Any] = {"layer": "fc7", "ckpt": "random", "dataset": "digits", **wrong}
        (name,) = wrong
        with pytest.raises(DataError, match=f"^{name}="):
            digits.features(**given)


def test_a_store_has_a_folder() -> None:
    """An empty text is no place: a variable that is not set must not open the current folder."""
    for wrong in ("", 3, None):
        with pytest.raises(StorageError, match="no place of a store"):
            fstore.open(wrong)  # type: ignore[arg-type]
