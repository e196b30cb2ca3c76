"""Object storage is a place of a store, and what is peculiar to it."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from _build import build
from _fault_proxy import proxied
from _object_server import emulated, use
from _place_contract import PlaceTests
from fstore.errors import StorageError
from fstore.store import Store
from fstore.store.places import place_at
from fstore.store.remote import RemotePlace


@pytest.fixture
def place(remote: str) -> RemotePlace:
    """Make an empty place."""
    made = place_at(remote)
    made.make()
    assert isinstance(made, RemotePlace)
    return made


class TestRemote(PlaceTests):
    """The contract holds for object storage."""

    forgets_s = 4.0
    before_hold = "from fstore.store import remote_locks; remote_locks.EXPIRES_S = 1.0"


def test_a_server_that_ignores_conditions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """No store is made where two writers would undo each other, and the reason is told."""
    with emulated() as server, proxied(server) as proxy:
        use(proxy.server, monkeypatch)
        proxy.strips_conditions = True
        uri = server.fresh()
        with pytest.raises(StorageError, match="ignores If-None-Match"):
            Store.create(uri)
        assert list(place_at(uri).entries("")) == []
        proxy.strips_conditions = False
        place_at(uri).make()
        assert list(place_at(uri).entries("")) == []


def test_a_server_without_updates_is_refused(remote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that heeds If-None-Match, but not If-Match, is refused as well."""
    place = RemotePlace(remote)
    probe = importlib.import_module("fstore.store.probe")
    right = probe.put_if

    def heedless(bucket: object, key: str, data: bytes, *, version: str | None) -> str | None:
        if version is not None:
            place.write(key, data)
            return "any"
        answer: str | None = right(bucket, key, data, version=version)
        return answer

    monkeypatch.setattr(probe, "put_if", heedless)
    with pytest.raises(StorageError, match="ignores If-Match"):
        place.make()
    assert list(place.entries("")) == []


@pytest.mark.slow
def test_a_process_that_read_ends_well(remote: str) -> None:
    """A process that reads and ends at once is not taken down by a thread of Arrow's.

    Without the wait at its end, half of the runs died by "terminate called without an active
    exception".
    """
    build(remote)
    code = "import sys, fstore; print(fstore.open(sys.argv[1]).rows('layers').num_rows)"
    for _ in range(12):
        done = subprocess.run(
            [sys.executable, "-c", code, remote], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


@pytest.mark.slow
def test_one_filter_is_a_small_part_of_a_layer() -> None:
    """One filter of conv5 of 2,000 images reads at most a twentieth of the layer's bytes."""
    script = Path(__file__).resolve().parents[2] / "benchmarks/remote_reads.py"
    done = subprocess.run(
        [sys.executable, str(script), "--most", "0.05"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "one filter's maps by SQL" in done.stdout
