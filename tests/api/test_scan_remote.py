"""``store.scan`` and the portable copy of a store in object storage."""

from pathlib import Path

import polars as pl
import pytest

import fstore
from _build import add_checkpoint, add_dataset, add_layers, put, relu
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.portable import write_portable


@pytest.mark.slow
def test_a_scan_and_a_copy_of_object_storage(remote: str, tmp_path: Path) -> None:
    """Responses that were stored on a server come back, zeros as 0, by a scan and a local copy."""
    store = Store.create(remote)
    add_dataset(store)
    add_layers(store, "net", {"a/b": (3, 2, 2)})
    add_checkpoint(store, "net", "5")
    x = relu(3, 6, 3, 4)
    put(store, Partition("net", "5", "d", "image", "a/b"), x)
    copy = write_portable(store.files(), tmp_path / "copy")
    for rows in (fstore.open(remote).scan("a/b", "5", "d"), pl.scan_delta(str(copy.path))):
        maps = rows.sort("sample_id", "channel").collect()["map"]
        assert maps.to_list() == x.reshape(-1, 4).tolist()
