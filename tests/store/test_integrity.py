"""A flipped bit anywhere in a store is found by verify, or changes no answer."""

import hashlib
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyarrow import parquet as pq
from safetensors.numpy import load_file, save_file

from _build import add_checkpoint, build
from fstore.errors import FstoreError, StorageError
from fstore.store import Store
from fstore.store.local import LocalPlace
from fstore.store.schema import TABLES
from fstore.store.sums import noted
from fstore.store.verify import verify
from fstore.store.weights import tensor_sums

SMALL = tuple(name for name in TABLES if name != "activations")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store with rows in many tables, some of them rewritten, and a dropped data set."""
    built = build(tmp_path_factory.mktemp("sound") / "s", ("5", "15"))
    store = built.store
    for i in range(3):
        run = dict.fromkeys(TABLES["runs"].schema.names)
        store.append("runs", [{**run, "run_id": str(i), "kind": "extract", "exit": "ok"}])
        cell = dict.fromkeys(TABLES["reports"].schema.names)
        store.append("reports", [{**cell, "study": "s", "report": "t", "value": i + 0.5}])
    store.append("studies", [{"name": "s", "toml": "x = 1", "set_at": None}])
    add_checkpoint(store, "net", "gone")
    store.drop(network="net", ckpt="gone", checkpoint=True)
    return store.path


def problems(root: Path) -> list[str]:
    """Return what verify says."""
    return [f"{row['file']}: {row['problem']}" for row in verify(LocalPlace(root))]


def answers(root: Path) -> dict[str, object]:
    """Read all tables past fstore, as SQL users do, and the weights; what fails is None."""
    found: dict[str, object] = {}
    for name in TABLES:
        try:
            table = DeltaTable(str(root / name)).to_pyarrow_table()
            found[name] = table.sort_by([(c, "ascending") for c in _sortable(table)]).to_pylist()
        except Exception:  # noqa: BLE001 - whatever the broken bytes lead to
            found[name] = None
    for file in sorted((root / "weights").rglob("*.safetensors")):
        try:
            tensors = load_file(file)
            found[file.name] = {k: (str(v.dtype), v.tobytes()) for k, v in tensors.items()}
        except Exception:  # noqa: BLE001
            found[file.name] = None
    return found


def _sortable(table: pa.Table) -> list[str]:
    return [f.name for f in table.schema if not pa.types.is_nested(f.type)]


def flips(root: Path, n: int, seed: int) -> list[tuple[Path, int, int]]:
    """Draw (file, byte, bit), each kind of file as often as the others."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    kinds: dict[str, list[Path]] = {}
    for path in sorted(p for p in root.rglob("*") if p.is_file() and p.stat().st_size):
        top = path.relative_to(root).parts[0]
        log = "_delta_log" in path.parts
        if top not in {"locks", "fstore.json", "sums"}:
            kinds.setdefault(f"{top} {log} {path.suffix}", []).append(path)
    drawn = []
    for i in range(n):
        path = rng.choice(list(kinds.values())[i % len(kinds)])
        drawn.append((path, rng.randrange(path.stat().st_size), 1 << rng.randrange(8)))
    return drawn


@pytest.mark.parametrize("n", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_flipped_bits_are_found(sound: Path, tmp_path: Path, seed: int, n: int) -> None:
    """Of flipped bits in data, logs and weights, verify misses none that changes an answer."""
    root = tmp_path / "s"
    shutil.copytree(sound, root)
    before, missed, mattered = answers(root), [], 0
    assert problems(root) == []
    for path, at, bit in flips(root, n, seed):
        whole = path.read_bytes()
        broken = bytearray(whole)
        broken[at] ^= bit
        path.write_bytes(broken)
        if answers(root) != before:
            mattered += 1
            if not problems(root):
                missed.append(f"{path.relative_to(root)} byte {at} bit {bit}")
        path.write_bytes(whole)
    assert missed == []
    assert mattered > n / 5  # else nothing was tried


@pytest.mark.parametrize("name", SMALL)
def test_a_small_table_is_never_read_wrong(sound: Path, tmp_path: Path, name: str) -> None:
    """Whatever bit of a small table's newest file or log is flipped, reading refuses it."""
    root = tmp_path / "s"
    shutil.copytree(sound, root)
    rng = random.Random(name)  # noqa: S311
    files = [Path(f.removeprefix("file://")) for f in DeltaTable(str(root / name)).file_uris()]
    files = [*files[:1], max((root / name / "_delta_log").glob("*.json"))]
    for path in files:
        whole = path.read_bytes()
        broken = bytearray(whole)
        broken[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(broken)
        with pytest.raises(StorageError, match=f"table '{name}' is damaged"):
            Store.open(root).rows(name)
        with pytest.raises(StorageError, match=f"table '{name}' is damaged"):
            Store.open(root).sql(f'SELECT count(*) FROM "{name}"')
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["samples", "labels", "runs", "datasets", "layers"])
def test_a_damaged_table_takes_no_other_along(sound: Path, tmp_path: Path, name: str) -> None:
    """SQL answers questions that do not name the damaged table, log or data."""
    root = tmp_path / "s"
    shutil.copytree(sound, root)
    for path in [p for p in (root / name).rglob("*") if p.suffix in {".json", ".parquet"}]:
        path.write_bytes(path.read_bytes()[:-9])
    store = Store.open(root)
    assert next(store.sql("SELECT count(*) AS n FROM activations").rows())["n"] == 84
    other = "labels" if name != "labels" else "splits"
    assert next(store.sql(f"SELECT count(*) AS n FROM {other}").rows())["n"] == 6
    with pytest.raises(FstoreError, match=name):
        next(store.sql(f"SELECT * FROM {name}").rows())


@pytest.mark.parametrize("name", ["activations", "samples", "datasets", "checkpoints", "runs"])
@pytest.mark.parametrize("what", ["log", "last commit", "data", "all"])
def test_files_that_are_gone(sound: Path, tmp_path: Path, name: str, what: str) -> None:
    """A table whose files were deleted is a problem that names it, not a traceback."""
    root = tmp_path / "s"
    shutil.copytree(sound, root)
    folder = root / name
    commits = sorted((folder / "_delta_log").glob("*.json"))
    if what == "log":
        shutil.rmtree(folder / "_delta_log")
    elif what == "all":
        shutil.rmtree(folder)
    elif what == "last commit":
        commits[-1].unlink()
    else:
        uris = DeltaTable(str(folder)).file_uris()
        if not uris:
            pytest.skip("no row in this table")
        Path(uris[0].removeprefix("file://")).unlink()
    found = problems(root)
    assert found
    assert all(line.startswith((f"{name}/", "checkpoints/")) for line in found)


def rewrite(root: Path, name: str, change: dict[str, Any]) -> None:
    """Change columns of a table by another program, with a log that is whole."""
    from deltalake import write_deltalake

    table = DeltaTable(str(root / name)).to_pyarrow_table()
    for column, value in change.items():
        at = table.schema.get_field_index(column)
        values = pa.array([value] * table.num_rows, table.schema.field(column).type)
        table = table.set_column(at, table.schema.field(column), values)
    write_deltalake(str(root / name), table, mode="overwrite")


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("samples", {"digest": "0" * 32}, "the samples are not those that were registered"),
        ("samples", {"sample_id": 3}, "expected samples 0 to 5"),
        ("labels", {"class": "b"}, "the labels are not those that were registered"),
        ("checkpoints", {"sha256": "0" * 64}, "the weights changed"),
        ("checkpoints", {"preprocessing_hash": "0" * 64}, "the preprocessing of the record"),
        ("checkpoints", {"uri": "checkpoints/none.safetensors"}, "the file is missing"),
    ],
)
def test_what_was_recorded_is_compared(
    sound: Path, tmp_path: Path, table: str, change: dict[str, Any], said: str
) -> None:
    """Rows that another program changed properly are found by the hashes that were recorded."""
    root = tmp_path / "s"
    shutil.copytree(sound, root)
    rewrite(root, table, change)
    assert any(said in line for line in problems(root))


def test_a_file_in_the_folder_of_another_partition(sound: Path, tmp_path: Path) -> None:
    """A log that says of a file that it is of another partition is found, without sums too."""
    root = tmp_path / "s"
    shutil.copytree(sound, root)
    shutil.rmtree(root / "sums")
    log = root / "activations" / "_delta_log"
    commit = next(p for p in sorted(log.glob("*.json")) if '"layer":"fc"' in p.read_text())
    text = commit.read_text().replace('"layer":"fc"', '"layer":"fd"')
    commit.write_text(text)
    assert any("lies in the folder of" in line for line in problems(root))


def test_an_entry_that_delta_does_not_know(sound: Path, tmp_path: Path) -> None:
    """A commit whose "add" is no such word any more is found, without sums too."""
    root = tmp_path / "s"
    shutil.copytree(sound, root)
    shutil.rmtree(root / "sums")
    commit = max((root / "labels" / "_delta_log").glob("*.json"))
    commit.write_text(commit.read_text().replace('{"add"', '{"adt"'))
    assert any("'adt'" in line for line in problems(root))


def test_an_older_store_gets_sums(sound: Path, tmp_path: Path) -> None:
    """A store without sums opens with its values; they are noted when asked for, and then hold."""
    root = tmp_path / "s"
    shutil.copytree(sound, root)
    shutil.rmtree(root / "sums")
    store = Store.open(root)
    assert store.rows("labels") == Store.open(sound).rows("labels")
    assert problems(root) == []
    n_files = store.add_checksums()
    assert n_files > len(TABLES)
    assert store.add_checksums() == 0
    (file,) = (f.removeprefix("file://") for f in DeltaTable(str(root / "labels")).file_uris())
    data = bytearray(Path(file).read_bytes())
    data[len(data) // 2] ^= 1
    Path(file).write_bytes(data)
    with pytest.raises(StorageError, match="'labels' is damaged"):
        Store.open(root).rows("labels")


def test_sums_are_those_of_sha256sum(sound: Path) -> None:
    """Each line has the sha256 of the bytes of a file, and every active file has a line."""
    for name in TABLES:
        lines = (sound / "sums" / f"{name}.sha256").read_text().splitlines()
        said = {line[66:]: line[:64] for line in lines}
        for file, value in said.items():
            path = sound / name / file
            assert not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() == value
        for uri in DeltaTable(str(sound / name)).file_uris():
            place = Path(uri.removeprefix("file://")).relative_to(sound / name)
            assert place.as_posix() in said


def test_of_sums_that_grew_only_the_new_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was added is read by itself; where what stood before is another, all is read again."""
    root = build(tmp_path / "s").store.place
    file, before = tmp_path / "s" / "sums" / "labels.sha256", noted(root, "labels")
    line = f"{'0' * 64}  new-%d.parquet\n"
    whole: list[str] = []
    read = LocalPlace.read

    def watched(place: LocalPlace, key: str) -> bytes:
        whole.append(key)
        return read(place, key)

    monkeypatch.setattr(LocalPlace, "read", watched)
    with file.open("a") as out:
        out.write(line % 1)
    assert noted(root, "labels") == {**before, "new-1.parquet": "0" * 64}
    assert whole == []
    file.write_text(line % 2 + file.read_text() + line % 3)
    assert noted(root, "labels").keys() == {*before, *(f"new-{i}.parquet" for i in (1, 2, 3))}
    assert whole == ["sums/labels.sha256"]


def test_checked_sql(tmp_path: Path) -> None:
    """A store opened with checks refuses activations that were changed; without, it reads them."""
    built = build(tmp_path / "s")
    (file,) = built.store.files(layer="fc")
    table = pq.read_table(Path(file.uri), partitioning=None)
    footer = pq.read_metadata(Path(file.uri)).metadata
    more = pa.array(np.full(table.num_rows, 7, dtype=np.float32))
    changed = table.set_column(table.schema.get_field_index("act_max"), "act_max", more)
    pq.write_table(changed.replace_schema_metadata(footer), Path(file.uri))
    asked = "SELECT max(act_max) AS m FROM activations WHERE layer = 'fc'"
    assert next(Store.open(built.store.path).sql(asked).rows())["m"] == 7
    with pytest.raises(StorageError, match="'activations' is damaged"):
        Store.open(built.store.path, check=True).sql(asked)


def test_verify_of_a_selection(tmp_path: Path) -> None:
    """With a selection only the activations that fit are read."""
    built = build(tmp_path / "s")
    (file,) = built.store.files(layer="fc")
    Path(file.uri).write_bytes(Path(file.uri).read_bytes()[:-1])
    assert list(built.store.verify(layer="conv1")) == []
    assert len(list(built.store.verify(layer="fc"))) == 1


def test_tensor_sums_by_hand(tmp_path: Path) -> None:
    """The hash is that of names, dtypes, shapes and bytes in order of names."""
    tensors = {"b": np.arange(3, dtype=np.int64), "a": np.ones((2, 1), dtype=np.float32)}
    save_file(tensors, tmp_path / "w.safetensors")
    text = b"a torch.float32 (2, 1)\n" + b"\x00\x00\x80\x3f" * 2
    text += b"b torch.int64 (3,)\n" + b"".join(bytes([i]) + bytes(7) for i in range(3))
    assert tensor_sums(tmp_path / "w.safetensors").weights == hashlib.sha256(text).hexdigest()


def test_tensor_sums_are_those_of_torch(tmp_path: Path) -> None:
    """Every dtype that torch writes is hashed as the extractor hashes it."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file as save_torch

    from fstore.extractor.weights import tensors_sha256

    names = ["float32", "float64", "float16", "bfloat16", "int8", "uint8", "int16", "int32"]
    names += ["int64", "bool", "float8_e4m3fn", "float8_e5m2"]
    tensors = {n: torch.arange(6).reshape(2, 3).to(getattr(torch, n)) for n in names}
    tensors |= {"scalar": torch.tensor(2.5), "none": torch.empty(0, 4)}
    save_torch(tensors, tmp_path / "w.safetensors")
    assert tensor_sums(tmp_path / "w.safetensors").weights == tensors_sha256(tensors)


@pytest.mark.parametrize("damage", [b"", b"12", b"\xff" * 40, bytes(8) + b"{}", b"\x02" + bytes(7)])
def test_tensor_sums_of_no_weights(tmp_path: Path, damage: bytes) -> None:
    """A file that is no safetensors file is an error of ours."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(damage)
    with pytest.raises(FstoreError, match=r"w\.safetensors"):
        tensor_sums(path)


def test_a_checkpoint_of_the_log(tmp_path: Path) -> None:
    """A log's checkpoint is guarded like a commit; one that is cut off is told by verify."""
    store = Store.create(tmp_path / "s")
    for i in range(101):  # Delta writes a checkpoint after a hundred commits
        store.append("studies", [{"name": str(i), "toml": "", "set_at": None}])
    (mark,) = (store.path / "studies" / "_delta_log").glob("*.checkpoint.parquet")
    assert f"_delta_log/{mark.name}" in (store.path / "sums" / "studies.sha256").read_text()
    assert problems(store.path) == []
    whole = mark.read_bytes()
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 1
    mark.write_bytes(broken)
    with pytest.raises(StorageError, match="'studies' is damaged"):
        Store.open(store.path).rows("studies")
    mark.write_bytes(whole[:-20])
    assert any(mark.name in line for line in problems(store.path))
