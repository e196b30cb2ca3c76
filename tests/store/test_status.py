"""What the status says of each partition."""

from pathlib import Path

from _build import add_layers, build, put, relu
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.status import logged_files, status

ODD = ("5", "005", "a'b", "x:y", "a%2Fb", "ü")


def test_counts(tmp_path: Path) -> None:
    """Samples, rows and raw bytes follow from the shapes; bytes are those of the file."""
    built = build(tmp_path / "s")
    rows = status(built.store.place)
    assert [r["layer"] for r in rows] == ["conv1", "fc"]
    assert (rows[0]["samples"], rows[0]["rows"], rows[0]["raw_bytes"]) == (6, 18, 6 * 3 * 4 * 4)
    assert (rows[1]["samples"], rows[1]["rows"], rows[1]["raw_bytes"]) == (6, 24, 6 * 4 * 4)
    sizes = [Path(f.uri).stat().st_size for f in built.store.files(layer="fc")]
    assert rows[1]["bytes"] == sum(sizes)


def test_files_add_up(tmp_path: Path) -> None:
    """Two files of a partition make one row."""
    store = Store.create(tmp_path / "s")
    where = Partition("n", "5", "d", "image", "l")
    put(store, where, relu(0, 3, 2, 4))
    put(store, where, relu(1, 2, 2, 4), sample_ids=[3, 4])
    (row,) = status(store.place)
    assert (row["samples"], row["rows"]) == (5, 10)


def test_unknown_shape(tmp_path: Path) -> None:
    """Without the layer's shape on record the raw bytes are unknown, not wrong."""
    store = Store.create(tmp_path / "s")
    put(store, Partition("n", "5", "d", "image", "l"), relu(0, 3, 2, 4))
    assert status(store.place)[0]["raw_bytes"] is None


def test_layers_in_network_order(tmp_path: Path) -> None:
    """Layers come in the order of the network, not of the alphabet."""
    store = Store.create(tmp_path / "s")
    add_layers(store, "n", {"z": (2, 2, 2), "a": (2, 2, 2)})
    for layer in ("a", "z"):
        put(store, Partition("n", "5", "d", "image", layer), relu(0, 3, 2, 4))
    assert [r["layer"] for r in status(store.place)] == ["z", "a"]


def test_odd_names(tmp_path: Path) -> None:
    """Names with quotes, slashes, colons and percent signs come back as they went in."""
    store = Store.create(tmp_path / "s")
    for name in ODD:
        put(store, Partition("n", name, "d", "image", "fire2/concat"), relu(0, 3, 2, 4))
    assert {r["ckpt"] for r in status(store.place)} == set(ODD)
    for name in ODD:
        (logged,) = logged_files(store.place, ckpt=name)
        assert Path(logged.file.uri).is_file()
        assert logged.file.partition.layer == "fire2/concat"
