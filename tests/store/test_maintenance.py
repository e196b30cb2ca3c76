"""Drop removes what is named alone; gc what no log refers to; verify sees damage."""

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from _build import Built, add_checkpoint, add_dataset, build, put, relu, responses
from fstore.errors import DataError, UnknownNameError
from fstore.store import Store
from fstore.store.files import Partition, StoredFile
from fstore.store.local import LocalPlace
from fstore.store.maintenance import Selection, drop, gc, plan_drop
from fstore.store.status import status
from fstore.store.verify import verify
from fstore.store.versions import partition_version

ODD = ("5", "005", "a'b", "x:y", "a%2Fb", "ü", 'q"q')
DAY = 24 * 3600


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Build a store with two checkpoints."""
    return build(tmp_path / "s", ("5", "15"))


def on_disk(root: Path) -> set[Path]:
    """List the data files of activations that are on disk."""
    return set((root / "activations").rglob("*.parquet"))


def age(path: Path, hours: float) -> None:
    """Make a file older."""
    then = path.stat().st_mtime - hours * 3600
    os.utime(path, (then, then))


# drop


def test_drop_one_partition(built: Built) -> None:
    """Dropping a partition unlinks its file at once and leaves every other."""
    root, before = built.store.path, on_disk(built.store.path)
    (own,) = {Path(f.uri) for f in built.store.files(ckpt="5", layer="fc")}
    selection = Selection(network="net", ckpt="5", dataset="d", view="image", layer="fc")
    (plan,) = plan_drop(LocalPlace(root), selection)
    assert (plan.rows, plan.bytes) == (24, own.stat().st_size)
    assert own.exists()
    assert drop(LocalPlace(root), selection) == [plan]
    assert on_disk(root) == before - {own}
    assert len(status(LocalPlace(root))) == 3
    assert list(verify(LocalPlace(root))) == []


@pytest.mark.parametrize("name", ODD)
def test_drop_odd_names(tmp_path: Path, name: str) -> None:
    """A name with quotes, slashes or zeros in front drops itself, not its neighbour."""
    store = Store.create(tmp_path / "s")
    for ckpt in ODD:
        put(store, Partition("n", ckpt, "d", "image", "fire2/concat"), relu(0, 3, 2, 4))
    drop(store.place, Selection(ckpt=name, layer="fire2/concat"))
    assert {f.partition.ckpt for f in store.files()} == set(ODD) - {name}
    assert len(on_disk(store.path)) == len(ODD) - 1


def test_drop_and_put_again(built: Built) -> None:
    """After a drop the place is free for other content."""
    drop(built.store.place, Selection(ckpt="5", layer="fc"))
    put(built.store, built.partition("fc"), relu(9, 6, 4, 1), identity={"weights": "new"})
    assert list(verify(built.store.place)) == []


def test_drop_by_sql_too(built: Built) -> None:
    """An open session sees the drop."""
    count = "SELECT count(*) AS n FROM activations"
    before = next(built.store.sql(count).rows())["n"]
    drop(built.store.place, Selection(ckpt="5"))
    assert next(built.store.sql(count).rows())["n"] == before // 2


def test_drop_dataset(built: Built) -> None:
    """A data set named alone loses its rows in every table, and can be registered anew."""
    store = built.store
    add_dataset(store, "other")
    going = drop(store.place, Selection(dataset="d"))
    assert {g.what for g in going} == {"activations", "splits", "labels", "samples", "datasets"}
    assert [d.name for d in store.datasets()] == ["other"]
    for table in ("samples", "labels", "splits"):
        assert set(store.rows(table)["dataset"].to_pylist()) == {"other"}
    assert store.files() == []
    add_dataset(store, "d", ("train", "test"))
    assert store.samples("d", "image").num_rows == 2


def test_drop_dataset_of_one_checkpoint(built: Built) -> None:
    """With a checkpoint named too, the data set itself stays."""
    drop(built.store.place, Selection(dataset="d", ckpt="5"))
    assert built.store.samples("d", "image").num_rows == 6
    assert {f.partition.ckpt for f in built.store.files()} == {"15"}


def test_drop_checkpoint(built: Built) -> None:
    """--checkpoint removes activations, record and weights of that checkpoint alone."""
    store = built.store
    kept, gone = (store.checkpoint_path(store.find_checkpoint(c)) for c in ("15", "5"))
    going = drop(store.place, Selection(network="net", ckpt="5"), checkpoint=True)
    assert [g.name for g in going if g.what == "checkpoint"] == ["net/5"]
    assert [r.name for r in store.checkpoints()] == ["15"]
    assert kept.exists()
    assert not gone.exists()


def test_drop_keeps_the_checkpoint(built: Built) -> None:
    """Without --checkpoint the weights stay."""
    drop(built.store.place, Selection(ckpt="5"))
    assert {r.name for r in built.store.checkpoints()} == {"5", "15"}


def test_drop_checkpoint_with_quote(built: Built) -> None:
    """A checkpoint whose name has a quote is dropped by that name."""
    file = add_checkpoint(built.store, "net", "a'b")
    drop(built.store.place, Selection(ckpt="a'b"), checkpoint=True)
    assert not file.exists()
    assert {r.name for r in built.store.checkpoints()} == {"5", "15"}


def test_drop_network(built: Built) -> None:
    """A network named alone loses the record of its layers, so that it may be changed."""
    drop(built.store.place, Selection(network="net"))
    assert built.store.rows("layers").num_rows == 0


def test_drop_refuses(built: Built) -> None:
    """No selector, a selector that fits nothing, and a half checkpoint are refused."""
    root = built.store.path
    with pytest.raises(DataError, match="at least one of --network"):
        drop(LocalPlace(root), Selection())
    with pytest.raises(UnknownNameError, match="nothing in the store fits --ckpt 7"):
        drop(LocalPlace(root), Selection(ckpt="7"))
    with pytest.raises(DataError, match="--network and --ckpt alone"):
        drop(LocalPlace(root), Selection(ckpt="5", layer="fc"), checkpoint=True)
    assert len(status(LocalPlace(root))) == 4


# gc


def test_gc_takes_orphans_only(built: Built) -> None:
    """Old files that no log knows go; young, committed and strangers' ones stay."""
    root = built.store.path
    files = on_disk(root)
    weights = {built.store.checkpoint_path(r) for r in built.store.checkpoints()}
    folder = next(iter(files)).parent
    orphans = [folder / f"{12 * 'a'}.parquet.tmp"]
    orphans.append(folder / f"0-5-6-{16 * 'a'}-{16 * 'b'}-{12 * 'c'}.parquet")
    orphans.append(next(iter(weights)).with_name(f"left-over-{12 * 'd'}.safetensors"))
    orphans.append(root / "training" / "tmpx" / "weights.safetensors")
    orphans[-1].parent.mkdir(parents=True)
    young = folder / f"{12 * 'e'}.parquet.tmp"
    foreign = folder / "my notes.parquet"
    for path in [*orphans, young, foreign]:
        path.write_bytes(b"1234")
    for path in [*orphans, *files, *weights, foreign]:
        age(path, 25)
    assert {(Path(key).name, n) for key, n in gc(LocalPlace(root))} == {
        (p.name, 4) for p in orphans
    }
    assert young.exists()
    assert not any(p.exists() for p in orphans)
    assert all(p.exists() for p in files | weights)
    assert gc(LocalPlace(root)) == []
    assert [root / key for key, _ in gc(LocalPlace(root), older_than_hours=0)] == [young]
    assert foreign.exists()


def test_gc_takes_what_a_killed_search_left(built: Built) -> None:
    """Half-written boxes of an image and detectors go; whole ones, which no log names, stay."""
    root = built.store.path
    half = [root / "proposals/d-1/.00000006.npy.pj8joopp", root / f"detectors/{12 * 'a'}.tmp"]
    whole = [root / "proposals/d-1/00000006.npy", root / "detectors/x.safetensors"]
    for path in (*half, *whole):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1234")
        age(path, 25)
    assert {root / key for key, _ in gc(LocalPlace(root))} == set(half)
    assert all(path.exists() for path in whole)


def test_gc_after_rewrites(built: Built) -> None:
    """Whatever gc deletes, every table reads as before."""
    root = built.store.path
    add_dataset(built.store, "it's: a b%20c")
    add_dataset(built.store, "other")
    drop(LocalPlace(root), Selection(dataset="other"))
    before = {t: built.store.rows(t).num_rows for t in ("samples", "labels", "splits", "datasets")}
    assert len(gc(LocalPlace(root), older_than_hours=0)) > 0
    again = Store.open(root)
    assert {t: again.rows(t).num_rows for t in before} == before
    assert list(verify(LocalPlace(root))) == []
    assert next(again.sql("SELECT count(*) AS n FROM samples").rows())["n"] == before["samples"]


# verify


def problems(root: Path) -> list[str]:
    """Return what verify says, without the place."""
    return [row["problem"] for row in verify(LocalPlace(root))]


def test_verify_is_silent(built: Built) -> None:
    """A sound store, with sparse and dense layers, has no problem."""
    assert problems(built.store.path) == []


def test_verify_sparse_layer_keeps_zeros_as_null(built: Built) -> None:
    """Zeros that are NULL on disk still give the checksum in the name."""
    (file,) = built.store.files(ckpt="5", layer="fc")
    column = pq.read_table(Path(file.uri), partitioning=None)["act_max"]
    assert column.null_count == int((built.values["fc"] == 0).sum()) > 0
    assert problems(built.store.path) == []


def test_verify_negative_zero(tmp_path: Path) -> None:
    """A response of -0.0 is no damage."""
    store = Store.create(tmp_path / "s")
    values = relu(0, 4, 3, 1)
    values[values == 0] = -0.0
    put(store, Partition("n", "5", "d", "image", "fc"), values)
    assert problems(store.path) == []


def test_verify_flipped_byte(built: Built) -> None:
    """One flipped byte anywhere in the data is seen, or nobody reads it."""
    (file,) = built.store.files(ckpt="5", layer="conv1")
    sound = Path(file.uri).read_bytes()
    table, missed = pq.read_table(Path(file.uri), partitioning=None), 0
    footer = int.from_bytes(sound[-8:-4], "little") + 8
    for at in range(4, len(sound) - footer, 23):
        broken = bytearray(sound)
        broken[at] ^= 0x10
        Path(file.uri).write_bytes(broken)
        seen = bool(problems(built.store.path))
        assert seen or pq.read_table(Path(file.uri), partitioning=None) == table, f"byte {at}"
        missed += not seen
    assert missed < 0.1 * at / 23  # in page headers: fields that readers ignore
    Path(file.uri).write_bytes(sound)
    assert problems(built.store.path) == []


def test_verify_missing_and_short(built: Built) -> None:
    """A missing file, a short file and missing weights are each named."""
    root = built.store.path
    conv, fc = (Path(built.store.files(ckpt="5", layer=layer)[0].uri) for layer in ("conv1", "fc"))
    conv.unlink()
    fc.write_bytes(fc.read_bytes()[:-1])
    built.store.checkpoint_path(built.store.find_checkpoint("5")).unlink()
    rows = list(verify(LocalPlace(root)))
    assert [r["problem"].split(",")[0] for r in rows] == [
        "the file is missing",
        f"the file has {fc.stat().st_size} bytes",
        "the file is missing",
    ]
    assert rows[0]["file"] == str(conv.relative_to(root))
    assert (rows[0]["ckpt"], rows[0]["layer"]) == ("5", "conv1")


def test_verify_wrong_content(built: Built) -> None:
    """A whole file of another's rows under this name, same size or not, is seen."""
    five = Path(built.store.files(ckpt="5", layer="conv1")[0].uri)
    six = put(built.store, built.partition("conv1", "6"), built.values["conv1"])
    assert six.stat().st_size == five.stat().st_size
    six.write_bytes(five.read_bytes())
    assert [p.split(" of ")[0] for p in problems(built.store.path)] == ["expected a fingerprint"]


def test_verify_wrong_name(built: Built) -> None:
    """Rows that differ from the checksum in the log are seen, though every page is sound."""
    put(built.store, built.partition("conv1", "x"), built.values["conv1"], checksum=1)
    assert [p.split(" of ")[0] for p in problems(built.store.path)] == ["expected a row checksum"]


def test_verify_belied_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A map that does not give the summary columns beside it is seen."""
    wrong = responses(relu(0, 4, 3, 6))
    assert wrong.nnz is not None
    wrong.nnz[2, 1] += 1
    monkeypatch.setattr("_build.responses", lambda _: wrong)
    store = Store.create(tmp_path / "s")
    put(store, Partition("n", "5", "d", "image", "l"), relu(0, 4, 3, 6))
    assert problems(store.path) == [
        "expected a number of rows whose map belies their summary of 0, found 1"
    ]


# versions


def test_version_is_independent_of_the_files(tmp_path: Path) -> None:
    """One file or three, in any order: the version of the same rows is the same."""
    store, x = Store.create(tmp_path / "s"), relu(0, 9, 4, 4)
    one, three = (Partition("n", c, "d", "image", "l") for c in ("one", "three"))
    same = {"weights": "w"}
    put(store, one, x, identity=same)
    for ids in ([4, 5, 6, 7, 8], [0, 1], [2, 3]):
        put(store, three, x[ids], sample_ids=ids, identity=same)
    assert len(store.files(ckpt="three")) == 3
    versions = {partition_version(store.files(ckpt=c)) for c in ("one", "three")}
    assert len(versions) == 1
    assert partition_version(list(reversed(store.files(ckpt="three")))) in versions


def test_version_changes_with_content() -> None:
    """Another value, sample or fingerprint gives another version; nothing gives none."""
    where = Partition("n", "5", "d", "image", "l")
    base = {
        "place": LocalPlace(Path("x")),
        "key": "k",
        "partition": where,
        "first_sample": 0,
        "last_sample": 2,
    }
    kinds = [(3, "f", 7), (3, "f", 8), (2, "f", 7), (3, "g", 7)]
    files = [
        StoredFile(**base, n_samples=n, fingerprint=f, checksum=c)  # type: ignore[arg-type]
        for n, f, c in kinds
    ]
    assert len({partition_version([f]) for f in files}) == 4
    assert partition_version([]) == ""


def test_checksum_sum_wraps() -> None:
    """Checksums add up modulo 2^64."""
    where = Partition("n", "5", "d", "image", "l")
    base = {
        "place": LocalPlace(Path("x")),
        "key": "k",
        "partition": where,
        "first_sample": 0,
        "last_sample": 2,
    }
    big = [
        StoredFile(**base, n_samples=1, fingerprint="f", checksum=c)  # type: ignore[arg-type]
        for c in (2**64 - 1, 3)
    ]
    one = StoredFile(**base, n_samples=2, fingerprint="f", checksum=2)  # type: ignore[arg-type]
    assert partition_version(big) == partition_version([one])
