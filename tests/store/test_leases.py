"""gc spares what work in hand has written, and only as long as the work is alive."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from _build import Built, build, responses
from _kill import run_code
from fstore.errors import StorageError
from fstore.store import adding, sink
from fstore.store.adding import NewFiles
from fstore.store.files import Identity, Partition
from fstore.store.leases import working
from fstore.store.local import LocalPlace
from fstore.store.maintenance import gc
from fstore.store.place import Place
from fstore.store.verify import verify
from fstore.types import ActivationBatch

HOLD = """
import sys, time
from pathlib import Path
from fstore.store.leases import working
from fstore.store.local import LocalPlace
root = Path(sys.argv[1])
with working(LocalPlace(root), "test"):
    folder = root / "activations"
    (folder / ("a" * 12 + ".parquet.tmp")).write_bytes(b"1234")
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Build a store."""
    return build(tmp_path / "s")


def shard(built: Built) -> sink.ShardReport:
    """Extract a layer of two samples."""
    values = np.ones((2, 4, 1), dtype=np.float32)
    partition = Partition("net", "5", "d", "image", "new")
    batch = ActivationBatch(np.arange(2), {"new": responses(values)})
    identities = {partition: Identity({"weights": "5"})}
    return sink.write_shard(built.store.place, [batch], identities)


def test_gc_during_a_commit(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files between writing and commit are spared, of any age; afterwards the commit holds."""
    real, gone = adding.commit, []

    def held_up(root: Place, new: NewFiles) -> bool:
        for _, key, _ in new.values():
            os.utime(root.local(key), (0, 0))
        gone.extend(gc(root, older_than_hours=0))
        return real(root, new)

    monkeypatch.setattr(sink, "commit", held_up)
    assert shard(built).rows == 8
    assert gone == []
    assert list(verify(built.store.place)) == []


@pytest.mark.parametrize("cut", [True, False])
def test_files_that_another_program_took(
    built: Built, monkeypatch: pytest.MonkeyPatch, *, cut: bool
) -> None:
    """A commit whose files are gone or cut adds nothing; the same run again heals it."""
    real = adding.commit

    def taken(root: Place, new: NewFiles) -> bool:
        for _, key, _ in new.values():
            path = root.local(key)
            path.write_bytes(path.read_bytes()[:-1]) if cut else path.unlink()
        return real(root, new)

    monkeypatch.setattr(sink, "commit", taken)
    with pytest.raises(StorageError, match="run the same command again"):
        shard(built)
    assert built.store.files(layer="new") == []
    monkeypatch.setattr(sink, "commit", real)
    assert shard(built).rows == 8
    assert list(verify(built.store.place)) == []


def test_a_lease_goes_with_its_process(built: Built) -> None:
    """Another process's lease protects until the process dies, in whatever way."""
    root = built.store.path
    orphan = root / "activations" / f"{12 * 'a'}.parquet.tmp"
    command = [sys.executable, "-c", HOLD, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        os.utime(orphan, (0, 0))
        assert gc(LocalPlace(root), older_than_hours=0) == []
        process.send_signal(signal.SIGKILL)
    assert [root / key for key, _ in gc(LocalPlace(root), older_than_hours=0)] == [orphan]
    assert list((root / "locks").glob("*.lease")) == []


def test_what_is_older_than_the_lease_goes(built: Built) -> None:
    """A lease protects what came after it began, nothing else."""
    root = built.store.path
    assert LocalPlace(root).oldest_lease() == float("inf")
    with working(LocalPlace(root), "outer"), working(LocalPlace(root), "inner"):
        (lease,) = (root / "locks").glob("*.lease")
        assert "outer" in lease.read_text()
        assert lease.stat().st_mtime - 5 < LocalPlace(root).oldest_lease() < lease.stat().st_mtime
    assert LocalPlace(root).oldest_lease() == float("inf")


def test_many_leases_and_gcs_at_once(built: Built) -> None:
    """Leases that are taken while gc looks for dead ones stay in force."""
    root = built.store.path
    lost = []

    def work() -> None:
        for i in range(40):
            with working(LocalPlace(root), str(i)):
                if LocalPlace(root).oldest_lease() == float("inf"):
                    lost.append(i)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []


RACE = """
import sys, time
from pathlib import Path
from fstore.store import Store
from fstore.errors import IdentityError
from _build import add_dataset, add_checkpoint, add_layers, PARTS
root, what, mine = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = Store.open(root)
Path(sys.argv[4]).touch()
while not Path(sys.argv[5]).exists():
    time.sleep(0.001)
try:
    if what == "dataset":
        add_dataset(store, "two", PARTS * (mine + 1))
    elif what == "layers":
        add_layers(store, "two", {"conv1": (mine + 1, 2, 2)}, f"{mine}")
    else:
        from fstore.types import CheckpointRecord
        weights = root.parent / f"w{mine}.safetensors"
        weights.write_text(str(mine))
        store.register_checkpoint(CheckpointRecord("net", "two", sha256=f"{mine}" * 64), weights)
    print("won")
except IdentityError:
    print("other")
"""


def at_once(tmp_path: Path, root: Path, what: str, trial: int, n: int = 3) -> list[str]:
    """Add one name with other content from several processes that start together."""
    start = tmp_path / f"start{trial}"
    ready = [tmp_path / f"ready{trial}.{i}" for i in range(n)]
    found = f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", found + RACE, root, what, str(i), ready[i], start],
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(n)
    ]
    while not all(path.exists() for path in ready):
        assert all(p.poll() is None for p in processes)
    start.touch()
    return sorted(p.communicate(timeout=120)[0].strip() for p in processes)


RACES = [("dataset", 0)]
SLOW_RACES = [(what, i) for what in ("dataset", "checkpoint", "layers") for i in range(1, 11)]


@pytest.mark.parametrize(
    ("what", "trial"), [*RACES, *(pytest.param(*r, marks=pytest.mark.slow) for r in SLOW_RACES)]
)
def test_one_of_several_wins_a_name(built: Built, tmp_path: Path, what: str, trial: int) -> None:
    """Of processes that add one name with other content at once, one wins; nothing is mixed."""
    assert at_once(tmp_path, built.store.path, what, trial) == ["other", "other", "won"]
    wrong = [r["problem"] for r in verify(built.store.place) if r["network"] != "net"]
    assert wrong == []  # of the samples, labels and layers; the race's weights are no tensors


ADD_KILLED = """
import os, sys
from pathlib import Path
from fstore.store import Store, catalog
from _build import add_dataset
real, calls = catalog.replace_rows, []
def dies(*args, **kwargs):
    calls.append(args)
    if len(calls) == int(sys.argv[2]):
        os._exit(9)
    return real(*args, **kwargs)
catalog.replace_rows = dies
try:
    add_dataset(Store.open(Path(sys.argv[1])), "two")
finally:
    print("done")
"""


@pytest.mark.parametrize("step", [2, 4])
def test_an_add_that_was_killed(built: Built, step: int) -> None:
    """A registration that is killed at any step frees the name, and another may have it."""
    from _build import PARTS, add_dataset

    with pytest.raises(AssertionError):
        run_code(ADD_KILLED, built.store.path, step)
    add_dataset(built.store, "two", PARTS[:4])
    assert built.store.samples("two", "image").num_rows == 4
    assert built.store.splits("two", "image").num_rows == 4
    assert list(verify(built.store.place)) == []


def test_add_and_drop_at_once(built: Built) -> None:
    """After adds and drops of one name at once, the data set is whole or not there at all."""
    from _build import add_dataset
    from fstore.errors import UnknownNameError
    from fstore.store import Store

    def add() -> None:
        for _ in range(3):
            add_dataset(Store.open(built.store.path), "two")

    def drop() -> None:
        store = Store.open(built.store.path)
        for _ in range(3):
            try:
                store.drop(dataset="two")
            except UnknownNameError:
                continue

    threads = [Thread(target=work) for work in (add, drop, add)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    there = "two" in {d.name for d in built.store.datasets()}
    for table in ("samples", "labels", "splits"):
        n = built.store.rows(table, dataset="two").num_rows
        assert n == (6 if there else 0), table
    assert list(verify(built.store.place)) == []
