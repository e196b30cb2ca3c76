"""Data sets, checkpoints and layers: registered once, the same again, never something else."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pyarrow as pa
import pytest

from _build import add_layers
from fstore.errors import IdentityError, UnknownNameError
from fstore.store import Store, catalog
from fstore.store.place import Place
from fstore.store.tables import replace_rows
from fstore.types import (
    CheckpointRecord,
    DatasetManifest,
    LayerSpec,
    SampleRecord,
    Split,
    ViewManifest,
)

RECORD = CheckpointRecord(
    "net", "5k", 5000, 0.01, 3, 1.25, sha256="ab" * 32, preprocessing_hash="p"
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store."""
    return Store.create(tmp_path / "s")


def samples(n: int = 4) -> tuple[SampleRecord, ...]:
    """Return whole images of classes a and b in turn; every third also shows b, difficult."""
    return tuple(
        SampleRecord(
            f"i{n}",
            f"é/{n}.png",
            f"{n:032x}",
            8,
            9,
            {"ab"[n % 2]: 1, **({"b": 0} if n % 3 == 0 else {})},
        )
        for n in range(n)
    )


def manifest(root: Path) -> DatasetManifest:
    """Return a data set of four images with an official split that leaves one out."""
    view = ViewManifest(
        "image", samples(), (Split("official", 0, ("train", None, "test", "test")),)
    )
    return DatasetManifest("d", "multi", ("a", "b"), root, (view,), "csv")


def with_view(old: DatasetManifest, **changes: object) -> DatasetManifest:
    """Change the only view of a data set."""
    return replace(old, views=(replace(old.views[0], **changes),))  # type: ignore[arg-type]


def with_sample(old: DatasetManifest, **changes: object) -> DatasetManifest:
    """Change the second sample of a data set."""
    rows = list(old.views[0].samples)
    rows[1] = replace(rows[1], **changes)  # type: ignore[arg-type]
    return with_view(old, samples=tuple(rows))


def everything(store: Store) -> list[object]:
    """Return the rows of all tables that describe data sets."""
    names = ("datasets", "samples", "labels", "splits")
    return [sorted(map(str, store.rows(name).to_pylist())) for name in names]


# Data sets


def test_a_data_set_is_found_as_it_was_registered(store: Store, tmp_path: Path) -> None:
    """Samples, labels, split, classes and root are read back; the place is the sample's id."""
    assert store.register_dataset(manifest(tmp_path / "x"))
    info = store.dataset("d")
    assert (info.classes, info.task, info.format) == (("a", "b"), "multi", "csv")
    assert (info.root, info.counts) == (tmp_path / "x", {"image": 4})
    rows = store.samples("d", "image").to_pylist()
    assert [r["sample_id"] for r in rows] == [0, 1, 2, 3]
    assert [r["uri"] for r in rows] == ["é/0.png", "é/1.png", "é/2.png", "é/3.png"]
    assert {r["box"] for r in rows} == {None}
    labels = {
        (r["sample_id"], r["class"], r["label"]) for r in store.labels("d", "image").to_pylist()
    }
    assert labels == {(0, "a", 1), (0, "b", 0), (1, "b", 1), (2, "a", 1), (3, "b", 0)}
    parts = {r["sample_id"]: r["part"] for r in store.splits("d", "image").to_pylist()}
    assert parts == {0: "train", 2: "test", 3: "test"}


def test_the_same_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    """Registering a data set twice is no error, and no row is added."""
    store.register_dataset(manifest(tmp_path))
    before = everything(store)
    assert not store.register_dataset(manifest(tmp_path))
    assert everything(store) == before


def test_new_splits_are_added_beside_the_old(store: Store, tmp_path: Path) -> None:
    """A further seed adds its rows; what was there stays."""
    store.register_dataset(manifest(tmp_path))
    more = Split("random", 1, ("val", "val", "train", "test"))
    both = with_view(manifest(tmp_path), splits=(manifest(tmp_path).views[0].splits[0], more))
    assert store.register_dataset(both)
    rows = store.splits("d", "image").to_pylist()
    assert len(rows) == 3 + 4
    assert not store.register_dataset(with_view(manifest(tmp_path), splits=(more,)))
    assert store.splits("d", "image").num_rows == 7


def test_a_new_view_leaves_the_hashes_of_the_others(store: Store, tmp_path: Path) -> None:
    """Boxes added to a data set of images: the view of images is the same as before."""
    store.register_dataset(manifest(tmp_path))
    old = store.dataset("d").views["image"]
    boxes = tuple(replace(s, box=(1.0, 2.0, 3.5, 4.0), difficult=True) for s in samples(2))
    assert store.register_dataset(replace(manifest(tmp_path), views=(ViewManifest("gt", boxes),)))
    info = store.dataset("d")
    assert info.counts == {"gt": 2, "image": 4}
    assert info.views["image"] == old
    box = store.samples("d", "gt").to_pylist()[1]["box"]
    assert box == {"xmin": 1.0, "ymin": 2.0, "xmax": 3.5, "ymax": 4.0}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda m: with_sample(m, digest="f" * 32),
            r"other samples: sample 1 \(é/1.png\) differs in content",
        ),
        (lambda m: with_sample(m, uri="z.png"), r"sample 1 \(z.png\) differs in uri"),
        (lambda m: with_sample(m, box=(1.0, 1.0, 2.0, 2.0)), "differs in box"),
        (lambda m: with_view(m, samples=samples(3), splits=()), "4 samples then, 3 now"),
        (lambda m: with_sample(m, labels={"a": 1}), "registered with other labels"),
        (
            lambda m: replace(m, classes=("b", "a")),
            r"with 2 classes \(multi\), the folder now has 2",
        ),
        (
            lambda m: replace(m, task="single"),
            r"with 2 classes \(multi\), the folder now has 2 \(single\)",
        ),
        (
            lambda m: with_view(
                m, splits=(Split("official", 0, ("train", "val", "test", "test")),)
            ),
            "split official with seed 0 is registered with other parts",
        ),
    ],
)
def test_other_content_is_refused(
    store: Store, tmp_path: Path, change: Callable[[DatasetManifest], DatasetManifest], says: str
) -> None:
    """Changed files, boxes, labels, classes, task or parts: an error that says what, no change."""
    store.register_dataset(manifest(tmp_path))
    before = everything(store)
    with pytest.raises(IdentityError, match=says):
        store.register_dataset(change(manifest(tmp_path)))
    assert everything(store) == before


def test_a_folder_may_move(store: Store, tmp_path: Path) -> None:
    """The same files at another place: the root follows; inside the store it is relative."""
    store.register_dataset(manifest(tmp_path / "x"))
    assert store.register_dataset(manifest(tmp_path / "y"))
    assert store.dataset("d").root == tmp_path / "y"
    assert store.register_dataset(manifest(store.path / "images/d"))
    assert store.rows("datasets")["root"].to_pylist() == ["images/d"]
    store.path.rename(tmp_path / "moved")
    assert Store.open(tmp_path / "moved").dataset("d").root == tmp_path / "moved/images/d"


def test_a_killed_registration_leaves_no_traces(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the last step, a registration is as none: other files and splits may come."""

    def killed(root: Place, table: str, rows: pa.Table, /, **equal: str) -> None:
        if table == "datasets":
            raise KeyboardInterrupt
        replace_rows(root, table, rows, **equal)

    monkeypatch.setattr(catalog, "replace_rows", killed)
    with pytest.raises(KeyboardInterrupt):
        store.register_dataset(manifest(tmp_path))
    monkeypatch.undo()
    assert store.datasets() == []
    other = Split("official", 0, ("val", "val", "train"))
    assert store.register_dataset(
        with_view(manifest(tmp_path), samples=samples(3), splits=(other,))
    )
    assert store.samples("d", "image").num_rows == 3
    assert store.splits("d", "image")["part"].to_pylist() == ["val", "val", "train"]


def at_once(n: int, work: Callable[[], object]) -> list[object]:
    """Run the same in threads that start together."""
    barrier = Barrier(n)

    def run(_: int) -> object:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(run, range(n)))


def test_registered_by_two_at_once_it_is_there_once(store: Store, tmp_path: Path) -> None:
    """Two processes that add the same data set: each sample, label and split row is there once."""
    alone = Store.create(tmp_path / "alone")
    alone.register_dataset(manifest(tmp_path))
    at_once(2, lambda: store.register_dataset(manifest(tmp_path)))
    assert everything(store)[1:] == everything(alone)[1:]
    assert store.rows("datasets").num_rows == 1


def test_unknown_names_list_what_there_is(store: Store, tmp_path: Path) -> None:
    """A wrong data set or view is an error that lists the right ones."""
    with pytest.raises(UnknownNameError, match="no data set 'voc'; there are: none yet"):
        store.dataset("voc")
    store.register_dataset(manifest(tmp_path))
    with pytest.raises(UnknownNameError, match=r"no data set 'voc'; there are: d$"):
        store.dataset("voc")
    with pytest.raises(UnknownNameError, match="'d' has no view 'gt'; it has: image"):
        store.samples("d", "gt")


# Checkpoints


def weights(store: Store, text: str = "w") -> Path:
    """Write a file that stands for weights."""
    path = store.path / "training" / "weights"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_a_checkpoint_is_found_as_it_was_registered(store: Store) -> None:
    """Every field comes back, and the file is moved into the store."""
    kept = store.register_checkpoint(RECORD, weights(store, "bytes"))
    assert kept == replace(RECORD, uri=kept.uri)
    assert store.checkpoint_path(kept).read_text() == "bytes"
    assert store.checkpoints() == [kept]
    assert not (store.path / "training/weights").exists()


def test_the_same_checkpoint_again_is_no_error(store: Store) -> None:
    """The same weights under the same name: the first record, one row, no file left over."""
    first = store.register_checkpoint(RECORD, weights(store))
    again = store.register_checkpoint(replace(RECORD, loss=9.0), weights(store))
    assert again == first
    assert store.rows("checkpoints").num_rows == 1
    assert not (store.path / "training/weights").exists()


def test_the_same_checkpoint_again_mends_a_lost_file(store: Store) -> None:
    """If the weights of a registered checkpoint are gone, registering them puts them back."""
    first = store.register_checkpoint(RECORD, weights(store))
    store.checkpoint_path(first).unlink()
    store.register_checkpoint(RECORD, weights(store, "again"))
    assert store.checkpoint_path(first).read_text() == "again"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sha256": "cd" * 32}, "'net/5k' is registered with other weights; .* --ckpt 5k"),
        ({"preprocessing_hash": "q"}, "with other preprocessing;"),
        ({"sha256": "cd" * 32, "preprocessing_hash": "q"}, "other weights and preprocessing"),
    ],
)
def test_another_checkpoint_of_that_name_is_refused(
    store: Store, changes: dict[str, str], says: str
) -> None:
    """Other weights or preprocessing under a known name: an error that says which."""
    first = store.register_checkpoint(RECORD, weights(store))
    with pytest.raises(IdentityError, match=says):
        store.register_checkpoint(replace(RECORD, **changes), weights(store, "other"))  # type: ignore[arg-type]
    assert store.checkpoints() == [first]
    assert store.checkpoint_path(first).read_text() == "w"


def test_names_are_looked_up_with_and_without_network(store: Store) -> None:
    """A name that two networks share is refused with both; either long form is found."""
    for network in ("net", "other"):
        record = replace(RECORD, network=network, sha256=network * 16)
        store.register_checkpoint(record, weights(store, network))
    with pytest.raises(
        UnknownNameError, match="'5k' is ambiguous: net/5k, other/5k; write one of these"
    ):
        store.find_checkpoint("5k")
    assert store.find_checkpoint("5k", "other").network == "other"
    assert store.find_checkpoint("other/5k").network == "other"
    with pytest.raises(UnknownNameError, match="no checkpoint '305k'; there are: net/5k, other/5k"):
        store.find_checkpoint("305k")
    with pytest.raises(UnknownNameError, match="no checkpoint '5k' of network 'third'"):
        store.find_checkpoint("5k", "third")
    with pytest.raises(UnknownNameError, match="no checkpoint 'other/5k' of network 'net'"):
        store.find_checkpoint("other/5k", "net")


def test_checkpoints_are_listed_as_they_were_trained(store: Store) -> None:
    """The order is network, iteration, name; 5k comes before 15k."""
    for name, iteration in (("15k", 15_000), ("5k", 5_000), ("b", None), ("a", None)):
        record = replace(RECORD, name=name, iteration=iteration, sha256=name.ljust(64, "0"))
        store.register_checkpoint(record, weights(store, name))
    assert [r.name for r in store.checkpoints("net")] == ["a", "b", "5k", "15k"]
    assert store.checkpoints("other") == []


@pytest.mark.parametrize("name", ["005", "torchvision:x", "a'b", "ü %41", "v1/5"])
def test_odd_checkpoint_names(store: Store, name: str) -> None:
    """Names with quotes, slashes and signs are registered and found as they are."""
    kept = store.register_checkpoint(replace(RECORD, network=name, name=name), weights(store))
    assert store.find_checkpoint(name, name) == kept
    assert store.checkpoint_path(kept).is_file()
    assert store.checkpoints(name) == [kept]


# Layers


def test_layers_are_recorded_once(store: Store) -> None:
    """The same layers again, and further ones, add what is new."""
    add_layers(store, "net", {"conv1": (3, 2, 2)})
    add_layers(store, "net", {"conv1": (3, 2, 2), "fc": (4, 1, 1)})
    rows = store.rows("layers", network="net").to_pylist()
    assert {(r["layer"], r["channels"], r["kind"], r["order"]) for r in rows} == {
        ("conv1", 3, "conv", 0),
        ("fc", 4, "fc", 1),
    }
    assert len(rows) == 2


def test_a_layer_with_another_definition_is_refused(store: Store) -> None:
    """A network whose computation up to a layer changed is an error that names both ways out."""
    add_layers(store, "net", {"conv1": (3, 2, 2)})
    changed = LayerSpec("conv1", 3, 2, 2, "conv", 0, "other")
    with pytest.raises(
        IdentityError,
        match=r"'conv1' of network 'net' was stored as 3x2x2.*fstore drop --network net",
    ):
        store.add_layers("net", [changed])
    store.add_layers("net2", [changed])


def test_layers_recorded_by_many_at_once_are_there_once(store: Store) -> None:
    """Extractions of one network that start together record its layers once."""
    at_once(3, lambda: add_layers(store, "net", {"conv1": (3, 2, 2), "fc": (4, 1, 1)}))
    assert store.rows("layers").num_rows == 2
