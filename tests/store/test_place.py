"""Paths out of tables are followed only inside the store."""

import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import strategies as st

from _build import Built, build
from fstore.errors import StorageError
from fstore.store import Store
from fstore.store.export import export_features
from fstore.store.local import LocalPlace
from fstore.store.place import inside, outside
from fstore.store.verify import verify


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Build a store, and a file beside it that is not the store's."""
    (tmp_path / "precious.safetensors").write_text("precious")
    return build(tmp_path / "s", ("5", "15"))


def change(root: Path, table: str, column: str, value: str) -> None:
    """Give all rows of a table another value, as another program would."""
    import pyarrow as pa

    rows = DeltaTable(str(root / table)).to_pyarrow_table()
    at = rows.schema.get_field_index(column)
    values = pa.array([value] * rows.num_rows)
    write_deltalake(
        str(root / table), rows.set_column(at, rows.schema.field(column), values), mode="overwrite"
    )


def strange_uris(built: Built) -> list[str]:
    """List paths that are not those of weights of this store."""
    root = built.store.path
    (root / "checkpoints" / "link.safetensors").symlink_to(root.parent / "precious.safetensors")
    (root / "checkpoints" / "folder").symlink_to(root.parent)
    return [
        "../precious.safetensors",
        "checkpoints/../../precious.safetensors",
        str(root.parent / "precious.safetensors"),
        "checkpoints/link.safetensors",
        "checkpoints/folder/precious.safetensors",
        "fstore.json",
        "labels/_delta_log/00000000000000000000.json",
        "checkpoints",
        "checkpoints/.",
        "",
        "checkpoints/a\0b",
    ]


def test_drop_deletes_nothing_outside(built: Built) -> None:
    """Whatever a record's path is, drop removes the record and no file that is not its own."""
    root = built.store.path
    own = {built.store.checkpoint_path(r) for r in built.store.checkpoints()}
    whole = DeltaTable(str(root / "checkpoints")).to_pyarrow_table()
    for uri in strange_uris(built):
        write_deltalake(str(root / "checkpoints"), whole, mode="overwrite")
        change(root, "checkpoints", "uri", uri)
        there = {
            p for p in root.parent.rglob("*") if p.suffix != ".parquet" and "locks" not in p.parts
        }
        store = Store.open(root)
        with pytest.raises(StorageError, match=r"does not lie in folder (checkpoints|weights)/"):
            store.checkpoint_path(store.find_checkpoint("5"))
        assert any("does not lie in" in row["problem"] for row in verify(LocalPlace(root))), uri
        going = store.drop(network="net", ckpt="5", checkpoint=True)
        assert "the record only" in going[-1].name
        assert [r.name for r in store.checkpoints()] == ["15"]
        assert all(p.exists() or p.is_symlink() for p in there), uri
    assert all(p.exists() for p in own)
    assert (root.parent / "precious.safetensors").read_text() == "precious"


def test_add_checkpoint_overwrites_nothing_outside(built: Built) -> None:
    """Weights that are registered again do not go where a record of others says."""
    from dataclasses import replace

    root = built.store.path
    record = built.store.find_checkpoint("5")
    change(root, "checkpoints", "uri", "../precious.safetensors")
    new = root.parent / "new.safetensors"
    new.write_text("new")
    with pytest.raises(StorageError, match="does not lie in"):
        Store.open(root).register_checkpoint(replace(record, uri=""), new)
    assert (root.parent / "precious.safetensors").read_text() == "precious"


def test_drop_of_a_file_that_the_log_has_elsewhere(built: Built) -> None:
    """A log that names a file outside its table does not make drop delete it."""
    root = built.store.path
    log = root / "activations" / "_delta_log"
    commit = next(p for p in sorted(log.glob("*.json")) if '"layer":"fc"' in p.read_text())
    line = next(part for part in commit.read_text().splitlines() if part.startswith('{"add"'))
    path = line.split('"path":"')[1].split('"')[0]
    commit.write_text(commit.read_text().replace(path, "../../precious.safetensors"))
    shutil.rmtree(root / "sums")
    from fstore.store.maintenance import _own
    from fstore.store.tables import open_table

    delta = open_table(LocalPlace(root), "activations")
    assert root.parent / "precious.safetensors" not in {
        (root / key).resolve()
        for key in _own(LocalPlace(root), "activations", delta, equal={"layer": "fc"})
    }


@pytest.mark.parametrize("place", ["../elsewhere", "x/../../y"])
def test_images_of_a_relative_root(built: Built, place: str) -> None:
    """A data set whose relative folder leads out of the store is refused by name."""
    change(built.store.path, "datasets", "root", place)
    with pytest.raises(StorageError, match="table 'datasets', data set 'd'"):
        Store.open(built.store.path).dataset("d")


@pytest.mark.parametrize("uri", ["../x.png", "/etc/passwd", "a/../../x.png", ".."])
def test_samples_lie_below_their_folder(built: Built, uri: str) -> None:
    """A sample's path that leads out of its data set's folder is refused by row."""
    change(built.store.path, "samples", "uri", uri)
    with pytest.raises(StorageError, match=r"table 'samples', row 0 of d\.image"):
        Store.open(built.store.path).samples("d", "image")


def test_names_with_dots_are_no_way_out(built: Built) -> None:
    """Two dots inside a name are a name."""
    change(built.store.path, "samples", "uri", "a..b/..c/d...png")
    assert Store.open(built.store.path).samples("d", "image").num_rows == 6


def test_a_folder_on_another_disk(tmp_path: Path) -> None:
    """A store whose folder of weights is a link to another disk works, drop included."""
    built = build(tmp_path / "s")
    root = built.store.path
    (root / "weights").rename(tmp_path / "disk")
    (root / "weights").symlink_to(tmp_path / "disk")
    store = Store.open(root)
    path = store.checkpoint_path(store.find_checkpoint("5"))
    assert path.is_file()
    assert list(verify(LocalPlace(root))) == []
    store.drop(network="net", ckpt="5", checkpoint=True)
    assert not path.exists()


PARTS = st.sampled_from(["..", ".", "a", "checkpoints", "", "b c", "%2e%2e", "ü", "link", "~"])


@given(st.lists(PARTS, min_size=1, max_size=6))
def test_inside_is_inside(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    """What is accepted resolves to a place below the store, for any path."""
    root = tmp_path_factory.getbasetemp() / "inside"
    (root / "a").mkdir(parents=True, exist_ok=True)
    if not (root / "a" / "link").is_symlink():
        (root / "a" / "link").symlink_to("/")
    try:
        key = inside(LocalPlace(root), "/".join(parts), table="t", row="r")
    except StorageError:
        return
    assert (root / key).resolve().is_relative_to(root.resolve())


def test_outputs_stay_out_of_the_store(built: Built) -> None:
    """An export does not overwrite a file of the store's, not even when told to."""
    root, partition = built.store.path, built.partition("fc")
    (file,) = built.store.files(layer="fc", ckpt="5")
    before = Path(file.uri).read_bytes()
    with pytest.raises(StorageError, match="among the store's own files"):
        export_features(built.store, partition, Path(file.uri), overwrite=True)
    assert Path(file.uri).read_bytes() == before
    assert outside(LocalPlace(root), root / "page" / "index.html")
    with pytest.raises(StorageError, match="among the store's own files"):
        outside(LocalPlace(root), root / "fstore.json")
