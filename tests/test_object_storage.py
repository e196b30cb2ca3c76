"""Commands on a store in object storage do, print and store what they do on a local one."""

import json
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import fstore
from _build import STUDY, build
from _fault_proxy import proxied
from _object_server import ObjectServer, use
from fstore import commands
from fstore.cli import app
from fstore.store import Store
from fstore.store.places import place_at

IMAGES, SIDE = 120, 24
SHOWN = ["report", "show", "table6"]
EXTRACT = ["extract", "--layer", "conv1", "--layer", "fc7", "--ckpt", "a", "--dataset", "rooms"]
COMMANDS = [
    ["init"],
    ["dataset", "add", "rooms", "--format", "imagefolder", "--root", "rooms", "--seeds", "0",
     "--copy-images"],
    ["ckpt", "init", "--network", "caffenet-mini", "--name", "a", "--classes", "2"],
    [*EXTRACT, "--shard-mib", "1"],
    ["train", "pretrain", "--network", "caffenet-mini", "--dataset", "rooms", "--iterations", "1",
     "--batch-size", "2"],
    ["index"],
]  # fmt: skip
SUMS = (
    "SELECT layer, channel, count(*) AS n, sum(act_max) AS s, max(argmax) AS a "
    "FROM activations GROUP BY ALL ORDER BY ALL"
)
ANSWERS = [
    ["status", "--json"],
    ["ckpt", "list", "--json"],
    ["sql", SUMS, "--json"],
    ["sql", "SELECT part, count(*) AS n FROM splits GROUP BY ALL ORDER BY ALL", "--csv"],
    ["analyze", "top-images", "--layer", "conv1", "--ckpt", "a", "--dataset", "rooms", "--json"],
    ["verify", "--json"],
    ["gc", "--older-than", "0", "--json"],
    ["drop", "--layer", "fc7", "--yes"],
    ["verify", "--no-recompute", "--json"],
    ["status", "--csv"],
]  # fmt: skip


def told(store: object, *words: str) -> str:
    """Run a command that must go well; return what it prints, the store's name left out."""
    result = CliRunner().invoke(app, ["--store", str(store), "--quiet", *words])
    assert result.exit_code == 0, (words, result.output)
    return result.stdout.replace(str(store), "STORE")


@pytest.fixture(scope="module")
def shared(seaweed: ObjectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make a folder to work in, with images, and have the environment name the server."""
    folder = tmp_path_factory.mktemp("work")
    draw = np.random.default_rng(0)
    for i in range(IMAGES):
        path = folder / "rooms" / ("light" if i % 2 else "dark") / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = draw.integers(0, 256 if i % 2 else 128, (SIDE, SIDE, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    with pytest.MonkeyPatch.context() as patch:
        use(seaweed, patch)
        patch.setenv("FSTORE_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def both(shared: Path, seaweed: ObjectServer) -> tuple[Path, str]:
    """Fill a local store and one in object storage with the same commands."""
    stores = shared / "local", seaweed.fresh()
    for store in stores:
        for words in COMMANDS:
            told(store, *words)
    return stores


@pytest.mark.slow
def test_commands_answer_the_same(both: tuple[Path, str]) -> None:
    """What is extracted, trained, listed, verified and dropped is the same, byte for byte."""
    local, remote = both
    for words in ANSWERS:
        assert told(remote, *words) == told(local, *words), words


@pytest.mark.slow
def test_features_and_files(both: tuple[Path, str], shared: Path) -> None:
    """Features, exported ones, and images that lie in the store alone are the same."""
    local, remote = (fstore.open(store) for store in both)
    mine, theirs = (
        store.features(layer="conv1", ckpt="a", dataset="rooms") for store in (remote, local)
    )
    np.testing.assert_array_equal(np.asarray(mine), np.asarray(theirs))
    assert [p.read_bytes() for p in mine.paths[:2]] == [p.read_bytes() for p in theirs.paths[:2]]
    out = ["export", "f.npy", "--layer", "conv1", "--ckpt", "a", "--dataset", "rooms"]
    for store, folder in zip(both, ("a", "b"), strict=True):
        (shared / folder).mkdir()
        told(store, *[w.replace("f.npy", f"{folder}/f.npy") for w in out])
    assert (shared / "a" / "f.npy").read_bytes() == (shared / "b" / "f.npy").read_bytes()


@pytest.mark.slow
def test_another_machine(
    both: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has nothing but the store's name extracts from the images and weights that are in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FSTORE_CACHE", str(tmp_path / "cache"))
    root = fstore.open(both[1]).dataset("rooms").root
    assert str(root) == f"{both[1]}/images/rooms"
    told(both[1], *EXTRACT[:2], "conv2", *EXTRACT[5:])
    names = [path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert set(names) <= {".safetensors"}  # no image is copied to the disk


@pytest.mark.slow
def test_a_store_is_called_by_its_place(both: tuple[Path, str]) -> None:
    """A store says its URI, is pickled by it, suggests commands with it, and has no path."""
    store = fstore.open(both[1])
    assert repr(store) == f"fstore.open({both[1]!r})"
    assert pickle.loads(pickle.dumps(store)).place == store.place  # noqa: S301 - its own
    with pytest.raises(fstore.FstoreError, match="is no folder of this machine"):
        _ = store.path
    assert commands.status(store.place) == f"fstore status --store {both[1]}"


@pytest.mark.slow
def test_the_explorer_shows_it(both: tuple[Path, str]) -> None:
    """The first page names the store; a thumbnail is read out of the store."""
    from starlette.testclient import TestClient

    from fstore.explore.app import application

    browser = TestClient(application(Store.open(both[1])), base_url="http://localhost")
    assert both[1] in browser.get("/").text
    answer = browser.get("/thumb?dataset=rooms&view=image&sample=3&size=64")
    assert answer.headers["content-type"] == "image/jpeg"


@pytest.mark.slow
def test_reports(shared: Path, seaweed: ObjectServer) -> None:
    """Reports refreshed, scheduled, shown and built as a page are those of a local store."""
    stores = shared / "reports", seaweed.fresh()
    (shared / "study.toml").write_text(STUDY)
    shown, pages = [], []
    for place, out in zip(stores, ("page-a", "page-b"), strict=True):
        build(str(place))
        told(place, "study", "set", "study.toml")
        told(place, "report", "refresh", SHOWN[-1])
        shown.append(told(place, *SHOWN, "--json"))
        told(place, "schedule", "--once", "--report", SHOWN[-1])
        assert '"status":"ok"' in told(place, "runs", "--json").replace(" ", "")
        told(place, "report", "build", out, "--no-compute")
        pages.append({path.name for path in (shared / out).rglob("*") if path.is_file()})
    assert json.loads(shown[0])
    assert shown[1] == shown[0]
    assert pages[1] == pages[0]


@pytest.mark.slow
def test_a_killed_extraction_goes_on(both: tuple[Path, str], seaweed: ObjectServer) -> None:
    """What was committed before a kill is not sent again, and the store ends the same."""
    local, place = both[0], seaweed.fresh()
    for words in COMMANDS[:3]:
        told(place, *words)
    store = Store.open(place)
    words = ["--store", place, *COMMANDS[3]]
    with subprocess.Popen([sys.executable, "-m", "fstore", *words]) as process:
        while not (committed := store.files(layer="conv1")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    before = {file.key: store.place.entry(file.key) for file in committed}
    told(place, *COMMANDS[3])
    assert len(Store.open(place).files(layer="conv1")) > len(before) > 0
    assert {key: store.place.entry(key) for key in before} == before
    rows = "SELECT * FROM activations WHERE layer = 'conv1' ORDER BY sample_id, channel"
    assert Store.open(place).sql(rows).arrow().equals(Store.open(local).sql(rows).arrow())
    assert list(Store.open(place).verify()) == []


@pytest.mark.slow
def test_a_list_instead_of_many_questions(
    seaweed: ObjectServer, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To open a table each commit is read once by us and twice by Delta's library, no data file."""
    place = seaweed.fresh()
    build(place, ("5", "15", "50"))
    monkeypatch.setenv("FSTORE_CACHE", str(shared / "counted"))
    with proxied(seaweed) as proxy:
        use(proxy.server, monkeypatch)
        code = f"import fstore; fstore.open({place!r}).status()"
        subprocess.run([sys.executable, "-c", code], check=True)
    asked = [r.path for r in proxy.requests if "/activations/" in r.path]
    commits = {path for path in asked if path.endswith(".json")}
    assert len(commits) == 7
    assert sum(path in commits for path in asked) <= 3 * len(commits) + 1  # is there another?
    assert not [path for path in asked if path.endswith(".parquet")]


@pytest.mark.parametrize(
    "words",
    [
        ["export", "s3://b/f.npz", "--layer", "fc", "--ckpt", "5", "--dataset", "d"],
        ["report", "build", "s3://b/page"],
        ["sql", "SELECT 1", "--parquet", "az://b/rows.parquet"],
    ],
)
def test_only_a_store_may_be_elsewhere(words: list[str], tmp_path: Path) -> None:
    """A URI where a file or folder is meant is refused in words, and nothing is written."""
    store = build(tmp_path / "s").store
    result = CliRunner().invoke(app, ["--store", str(store.path), *words])
    assert result.exit_code == 1
    assert "only a store may be elsewhere" in result.stderr
    assert "://b/" in result.stderr


def test_images_copied_into_a_local_store(tmp_path: Path) -> None:
    """With --copy-images a store has its images, also when it moved and their folder is gone."""
    folder, place = tmp_path / "photos" / "cat", tmp_path / "s"
    folder.mkdir(parents=True)
    for name, shade in (("a", 20), ("b", 200)):
        Image.new("RGB", (5, 4), (shade, 0, 0)).save(folder / f"{name}.png")
    told(place, "init")
    words = ["dataset", "add", "pets", "--format", "imagefolder", "--root", str(folder.parent)]
    told(place, *words)
    told(place, *words, "--copy-images")  # registered with its own folder before
    content = (folder / "b.png").read_bytes()
    folder.parent.rename(tmp_path / "gone")
    place.rename(tmp_path / "moved")
    info = Store.open(tmp_path / "moved").dataset("pets")
    assert str(info.root) == str(tmp_path / "moved" / "images" / "pets")
    assert (info.root / "cat/b.png").read_bytes() == content
    assert info.counts == {"image": 2}


def test_images_in_object_storage_are_registered(remote: str, tmp_path: Path) -> None:
    """A folder in a bucket is registered as it is on disk, in a local store and in a remote one."""
    bucket = place_at(remote.replace("/store", "/photos"))
    for name, shade in (("cat/a b", 20), ("dog/b", 200), ("dog/c", 90)):
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (5, 4), (shade, 0, 0)).save(path)
        bucket.write(f"{name}.png", path.read_bytes())
    words = ["dataset", "add", "pets", "--format", "imagefolder", "--copy-images", "--root"]
    rows = []
    for store, root in (
        ("here", str(tmp_path / "photos")),
        ("local", str(bucket)),
        (remote, bucket),
    ):
        where = store if "://" in store else str(tmp_path / store)
        told(where, "init")
        told(where, *words, str(root))
        told(where, *words, str(root))  # again: it is registered already
        opened = Store.open(where)
        rows.append(opened.samples("pets", "image").drop_columns(["dataset"]).to_pylist())
        info = opened.dataset("pets")
        assert (info.root / "cat/a b.png").read_bytes() == bucket.read("cat/a b.png")
    assert rows[0] == rows[1] == rows[2]


def test_images_in_object_storage_are_not_left_there(remote: str, tmp_path: Path) -> None:
    """Without --copy-images nobody could read them later: it is refused, as is an empty prefix."""
    store = build(tmp_path / "s").store
    words = ["dataset", "add", "pets", "--format", "imagefolder", "--root", remote]
    run = CliRunner().invoke
    refused = run(app, ["--store", str(store.path), *words])
    assert refused.exit_code == 1
    assert "--copy-images" in refused.stderr
    empty = run(app, ["--store", str(store.path), *words, "--copy-images"])
    assert f"there is no file below {remote}" in " ".join(empty.stderr.split())
    assert [d.name for d in store.datasets()] == ["d"]
