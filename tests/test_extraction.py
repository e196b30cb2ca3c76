"""Extraction into a store: right values, nothing twice, nothing lost."""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from fstore import workflows
from fstore.errors import DataError, IdentityError, StorageError, UnknownNameError
from fstore.extractor.datasets import FORMATS
from fstore.extractor.images import ChangedFileError
from fstore.extractor.networks import Network
from fstore.store import Store
from fstore.store.adding import NewFiles, commit
from fstore.store.place import Place
from fstore.types import CheckpointRecord, ViewManifest
from fstore.workflows import checkpoints
from fstore.workflows.extract import run as extraction
from fstore.workflows.extract.plan import Chosen
from fstore.workflows.extract.run import ExtractionOptions

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"]
N_IMAGES = 12
ALL_ROWS = "SELECT * EXCLUDE (map), map::VARCHAR AS map FROM activations ORDER BY ALL"
SMALL = ExtractionOptions(batch_size=3, shard_bytes=1 << 19, workers=2)


def make_images(folder: Path, n: int = N_IMAGES) -> Path:
    """Write colourful noise with structure: n PNG files in two class folders."""
    random = np.random.default_rng(7)
    for i in range(n):
        small = random.integers(0, 256, size=(6, 6, 3), dtype=np.uint8)
        path = folder / ("a" if i % 2 else "b") / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(small).resize((70, 60), Image.Resampling.BICUBIC).save(path)
    return folder


def make_store(path: Path, images: Path) -> Store:
    """Create a store with one data set and one checkpoint of random weights."""
    store = Store.create(path)
    workflows.add_dataset(store, "noise", "imagefolder", root=images, seeds=[0])
    workflows.init_checkpoint(store, network="caffenet-mini", name="random", seed=3)
    return store


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Give a folder of generated images."""
    return make_images(tmp_path / "images")


@pytest.fixture
def fresh(tmp_path: Path, images: Path) -> Store:
    """Give a store without activations."""
    return make_store(tmp_path / "store", images)


def fill(
    store: Store, *layers: str, options: ExtractionOptions = SMALL, **chosen: object
) -> extraction.Summary:
    """Extract layers of checkpoint ``random``."""
    wanted = {"layers": layers or ["all"], "ckpts": ["random"], **chosen}
    return extraction.extract(store, options=options, **wanted)  # type: ignore[arg-type]


def all_rows(store: Store) -> list[dict[str, object]]:
    """Return every activation, sorted."""
    rows: list[dict[str, object]] = store.sql(ALL_ROWS).arrow().to_pylist()
    return rows


def stored_maps(store: Store, layer: str) -> NDArray[np.float32]:
    """Return one layer as an array of shape (n_samples, n_channels, positions)."""
    rows = store.sql(
        "SELECT channel, map FROM activations WHERE layer = ? ORDER BY sample_id, channel", [layer]
    ).arrow()
    n_channels = int(rows["channel"].to_numpy().max()) + 1
    flat: NDArray[np.float32] = rows["map"].combine_chunks().flatten().to_numpy()
    return flat.reshape(-1, n_channels, len(flat) // len(rows))


def plain_forward(images: Path, batch_size: int) -> dict[str, NDArray[np.float32]]:
    """Run the chain by hand: module after module, own decoding, no taps."""
    from fstore.extractor.networks import build_network

    torch.manual_seed(3)
    chain = build_network("caffenet-mini").model
    ends = dict(
        zip(("norm1", "norm2", "relu3", "relu4", "pool5", "relu6", "relu7"), LAYERS, strict=True)
    )
    pixels = []
    for path in sorted(images.rglob("*.png")):
        with Image.open(path) as image:
            rgb = image.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR)
        bgr = np.asarray(rgb, dtype=np.float32)[:, :, ::-1]
        pixels.append((bgr - np.array([104, 117, 123], np.float32)) / np.float32(64))
    x = torch.from_numpy(np.stack(pixels).transpose(0, 3, 1, 2)).clone(
        memory_format=torch.contiguous_format
    )
    found: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in LAYERS}
    with torch.inference_mode():
        for part in torch.split(x, batch_size):
            y = part.clone()  # torch's own memory, aligned as extraction's is
            for name, module in chain.named_children():
                y = module(y)
                if name in ends:
                    found[ends[name]].append(y.clone().numpy())
    return {k: np.concatenate(v).reshape(len(x), v[0].shape[1], -1) for k, v in found.items()}


def tf32(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round to 11 significant bits by arithmetic: mantissa times 2^11, half to even."""
    mantissa, exponent = np.frexp(x.astype(np.float64))
    nearest: NDArray[np.float64] = np.ldexp(np.round(mantissa * 2**11), exponent - 11)
    return nearest.astype(np.float32)


def test_float32_is_bit_equal_to_a_plain_forward_pass(fresh: Store, images: Path) -> None:
    """SQL gives back the very bits of a separate forward pass of the same batches."""
    fill(fresh, options=ExtractionOptions(precision="float32", batch_size=5))
    expected = plain_forward(images, batch_size=5)
    for layer in LAYERS:
        found = stored_maps(fresh, layer)
        assert np.array_equal(found.view(np.uint32), expected[layer].view(np.uint32)), layer


def test_the_default_is_the_tf32_rounding_of_that_pass(fresh: Store, images: Path) -> None:
    """By default values are rounded to 10 bits of mantissa, to nearest, ties to even."""
    fill(fresh, options=ExtractionOptions(batch_size=5))
    for layer, expected in plain_forward(images, batch_size=5).items():
        assert np.array_equal(stored_maps(fresh, layer), tf32(expected)), layer


def test_batch_size_changes_next_to_nothing(tmp_path: Path, images: Path) -> None:
    """Other batch sizes give the same values within 1e-5 of a layer's largest (float32 sums)."""
    found = []
    for size in (1, 5, 12):
        store = make_store(tmp_path / f"store{size}", images)
        fill(store, options=ExtractionOptions(precision="float32", batch_size=size))
        found.append({layer: stored_maps(store, layer) for layer in LAYERS})
    for layer in LAYERS:
        limit = 1e-5 * found[0][layer].max()
        for other in found[1:]:
            assert np.abs(other[layer] - found[0][layer]).max() <= limit, layer


def test_summaries_equal_what_the_map_gives(fresh: Store) -> None:
    """Every summary column equals the same thing computed from ``map`` in SQL."""
    fill(fresh)
    wrong = (
        fresh.sql(
            """
        SELECT count(*) AS n,
            count_if(act_max != list_max(map)) AS act_max,
            count_if(abs(act_sum - list_sum([x::DOUBLE FOR x IN map])) > 1e-9 * abs(act_sum))
                AS act_sum,
            count_if(nnz != len([x FOR x IN map IF x != 0])) AS nnz,
            count_if(npos != len([x FOR x IN map IF x > 0])) AS npos,
            count_if(argmax != list_position(map, list_max(map)) - 1) AS argmax
        FROM activations
        """
        )
        .arrow()
        .to_pylist()[0]
    )
    n_channels = 16 + 48 + 64 + 64 + 48 + 256 + 256
    assert wrong == {"n": N_IMAGES * n_channels} | dict.fromkeys(
        ("act_max", "act_sum", "nnz", "npos", "argmax"), 0
    )


def test_two_devices_take_turns_and_give_the_same(tmp_path: Path, images: Path) -> None:
    """Batches shared between two copies of the network come back in order, bit-equal."""
    from fstore.extractor.devices import make_runners
    from fstore.extractor.extract import extract as run_network
    from fstore.extractor.loading import InputSample, load_batches

    store = make_store(tmp_path / "store", images)
    network = workflows.load_network(store, store.find_checkpoint("random"))
    files = sorted(p.relative_to(images).as_posix() for p in images.rglob("*.png"))
    batches = [[InputSample(i, f, "", None)] for i, f in enumerate(files)]

    def responses(n_devices: int) -> list[bytes]:
        runners = make_runners(
            network, ["conv5"], devices=[torch.device("cpu")] * n_devices, precision="tf32",
            compute="float32",
        )  # fmt: skip
        loaded = load_batches(images, batches, network.preprocess, workers=2)
        found = [batch for batch, _ in run_network(loaded, runners) if batch is not None]
        assert [int(b.sample_ids[0]) for b in found] == list(range(N_IMAGES))
        return [
            b.layers["conv5"].maps.tobytes() for b in found if b.layers["conv5"].maps is not None
        ]

    assert len(responses(1)) == N_IMAGES
    assert responses(2) == responses(1)


def test_nothing_is_extracted_twice(fresh: Store) -> None:
    """conv5, then all, then a part again: each sample of a layer is stored once."""
    first = fill(fresh, "conv5", part="random:0:test")
    assert first.samples == len(
        [1 for r in fresh.splits("noise", "image").to_pylist() if r["part"] == "test"]
    )
    second = fill(fresh, "conv5")
    assert (second.samples, second.present) == (N_IMAGES - first.samples, first.samples)
    third = fill(fresh, "all")
    assert third.rows == N_IMAGES * (16 + 48 + 64 + 64 + 256 + 256)  # all but conv5
    again = fill(fresh, "all")
    assert (again.samples, again.rows, again.present) == (0, 0, N_IMAGES)
    doubled = fresh.sql(
        "SELECT layer, sample_id, channel FROM activations GROUP BY ALL HAVING count(*) > 1"
    ).arrow()
    assert doubled.num_rows == 0


def test_one_pass_fills_what_each_layer_lacks(fresh: Store) -> None:
    """A layer that holds a part gets the rest, others get all, from one pass over the images."""
    part = fill(fresh, "conv5", part="random:0:train").samples
    both = fill(fresh, "conv5", "fc7")
    assert both.samples == N_IMAGES
    assert both.rows == (N_IMAGES - part) * 48 + N_IMAGES * 256


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        (ExtractionOptions(precision="float32"), "stored precision"),
        (ExtractionOptions(compute="bfloat16"), "compute precision"),
    ],
)
def test_another_precision_is_refused(
    fresh: Store, options: ExtractionOptions, differs: str
) -> None:
    """The same names with another precision: an error that says which part differs."""
    fill(fresh, "conv5", part="random:0:test")
    before = all_rows(fresh)
    with pytest.raises(IdentityError, match=f"differs in: {differs}") as caught:
        fill(fresh, "conv5", options=options)
    assert "fstore drop --network caffenet-mini --ckpt random" in str(caught.value)
    assert all_rows(fresh) == before


def test_another_preprocessing_is_refused(fresh: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same network with other preprocessing code: an error that says so."""
    fill(fresh, "conv5", part="random:0:test")
    load = workflows.load_network

    def changed(store: Store, record: CheckpointRecord) -> Network:
        network = load(store, record)
        return replace(network, preprocess=replace(network.preprocess, mean=(1.0, 2.0, 3.0)))

    monkeypatch.setattr(checkpoints, "load_network", changed)
    with pytest.raises(IdentityError, match="differs in: preprocessing"):
        fill(fresh, "conv5")


def test_other_weights_under_a_known_name_are_refused(fresh: Store) -> None:
    """Registering other weights under a name that is taken is an error; the first stay."""
    old = fresh.find_checkpoint("random").sha256
    with pytest.raises(IdentityError, match="registered with other weights"):
        workflows.init_checkpoint(fresh, network="caffenet-mini", name="random", seed=4)
    assert fresh.find_checkpoint("random").sha256 == old


def test_other_files_under_a_known_name_are_refused(fresh: Store, images: Path) -> None:
    """A data set whose folder changed is noticed when it is added and when it is read."""
    victim = sorted(images.rglob("*.png"))[4]
    Image.new("RGB", (70, 60), "red").save(victim)
    with pytest.raises(IdentityError, match=f"{victim.name}.* differs in content"):
        workflows.add_dataset(fresh, "noise", "imagefolder", root=images, seeds=[0])
    with pytest.raises(ChangedFileError, match=victim.name):
        fill(fresh, "conv1")
    run = fresh.rows("runs").to_pylist()[-1]
    assert run["exit"] == "failed"
    assert victim.name in run["message"]


def add_proposals(store: Store, images: Path) -> None:
    """Add a box to each of five images."""
    manifest = FORMATS["imagefolder"].function("noise", images, seeds=[0])
    boxes = tuple(replace(s, box=(1.0, 1.0, 30.0, 40.0)) for s in manifest.views[0].samples[:5])
    with_boxes = replace(manifest, views=(*manifest.views, ViewManifest("proposal", boxes)))
    assert store.register_dataset(with_boxes)


@pytest.mark.parametrize(("device", "later"), [("cpu", False), ("cuda", True)])
def test_regions_are_warped_where_the_network_runs(
    fresh: Store, images: Path, monkeypatch: pytest.MonkeyPatch, device: str, later: bool
) -> None:
    """With a GPU the boxes of a job come cut out, and become what they are without one."""
    from fstore.extractor import devices
    from fstore.extractor.warping import RegionCrops

    add_proposals(fresh, images)
    chosen = Chosen(["conv5"], ["random"], views=["image", "proposal"])
    run = extraction.Extraction(fresh, chosen, SMALL)
    jobs = {job.view: job for job in run.plan()}
    monkeypatch.setattr(devices, "find_devices", lambda _: [torch.device(device)])
    found = {v: list(run.source(j).batches([np.arange(5)], 3)) for v, j in jobs.items()}
    assert [len(b.sample_ids) for b in found["proposal"]] == [3, 2]
    assert all(isinstance(b.images, RegionCrops) == later for b in found["proposal"])
    assert all(isinstance(b.images, np.ndarray) for b in found["image"])


def test_one_loader_reads_all_shards(fresh: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batches of all shards are one stream, in order, and none lies in two shards."""
    from fstore.extractor import loading

    asked: list[list[list[int]]] = []

    def noted(root: Path, batches: Any, preprocess: Any, **how: Any) -> Any:  # noqa: ANN401
        asked.append([])

        def stream() -> Any:  # noqa: ANN401
            for batch in batches:
                asked[-1].append([sample.sample_id for sample in batch])
                yield batch

        return load(root, stream(), preprocess, **how)

    load = loading.load_batches
    run = extraction.Extraction(fresh, Chosen(["conv5"], ["random"]), replace(SMALL, batch_size=4))
    jobs = run.plan()
    shards = [shard.tolist() for shard in jobs[0].shards()]
    assert [len(shard) for shard in shards] == [6, 6]  # batches of four would straddle
    monkeypatch.setattr(loading, "load_batches", noted)
    run.do(jobs)
    _, stream = asked  # the checks before the first commit read a few
    assert stream == [[0, 1, 2, 3], [4, 5], [6, 7, 8, 9], [10, 11]]
    assert run.summary.samples == N_IMAGES


def test_a_new_view_leaves_the_others_alone(fresh: Store, images: Path) -> None:
    """Proposals added to a data set: nothing redone, nothing refused."""
    fill(fresh, "conv5")
    add_proposals(fresh, images)
    assert fill(fresh, "conv5").samples == 0
    assert fill(fresh, "conv5", views=["proposal"]).samples == 5
    assert fill(fresh, "conv5", views=["image", "proposal"]).present == N_IMAGES + 5


def test_unreadable_images_are_quarantined(tmp_path: Path, images: Path) -> None:
    """A truncated and an empty file are left out, named in ``runs``, and tried again later."""
    files = sorted(images.rglob("*.png"))
    whole = files[3].read_bytes()
    files[3].write_bytes(whole[: len(whole) // 2])
    files[8].write_bytes(b"")
    store = make_store(tmp_path / "store", images)
    summary = fill(store, "conv5")
    assert summary.samples == N_IMAGES - 2
    assert [bad["uri"].split("/")[-1] for bad in summary.quarantined] == [
        files[3].name,
        files[8].name,
    ]
    run = store.rows("runs").to_pylist()[-1]
    assert run["exit"] == "ok"
    assert "empty" in run["quarantined"][1]["reason"]
    again = fill(store, "conv5")
    assert (again.samples, again.present, len(again.quarantined)) == (0, N_IMAGES - 2, 2)
    with pytest.raises(DataError, match="at most 1 are allowed"):
        fill(store, "conv4", options=ExtractionOptions(max_bad=1))


def test_unknown_names_list_what_there_is(fresh: Store) -> None:
    """A wrong checkpoint, layer, data set, view or part is an error that lists the right ones."""
    cases: list[tuple[dict[str, Any], str]] = [
        ({"ckpts": ["305k"]}, "no checkpoint '305k'.*random"),
        ({"layers": ["conv9"]}, "no layer 'conv9'.*conv1, conv2"),
        ({"datasets": ["voc"]}, "no data set 'voc'.*noise"),
        ({"datasets": ["noise"], "views": ["gt"]}, "no view 'gt'.*image"),
        ({"part": "random:7:test"}, "random:0:test"),
    ]
    for chosen, message in cases:
        with pytest.raises(UnknownNameError, match=message):
            fill(fresh, **chosen)


def test_nan_is_stored_and_counted(fresh: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that give NaN are the user's finding: stored as they are, and counted."""
    load = workflows.load_network

    def broken(store: Store, record: CheckpointRecord) -> Network:
        network = load(store, record)
        network.model.get_parameter("conv1.bias").data[0] = float("nan")
        return network

    monkeypatch.setattr(checkpoints, "load_network", broken)
    summary = fill(fresh, "conv3")
    assert summary.non_finite == N_IMAGES * 64
    found = fresh.sql("SELECT count(*) AS n FROM activations WHERE isnan(act_max)").arrow()
    assert found["n"].to_pylist() == [N_IMAGES * 64]


def test_a_failing_writer_ends_the_run_and_the_rerun_completes_it(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard that cannot be written is not visible; the rerun ends in the uninterrupted store."""
    from fstore.store import sink

    whole, broken = make_store(tmp_path / "whole", images), make_store(tmp_path / "broken", images)
    fill(whole)
    calls = iter(range(100))

    def fails_once(root: Place, new: NewFiles) -> bool:
        if next(calls) == 1:
            raise StorageError("the disk is full")
        return commit(root, new)

    monkeypatch.setattr(sink, "commit", fails_once)
    with pytest.raises(StorageError, match="full"):
        fill(broken)
    assert 0 < len(all_rows(broken)) < len(all_rows(whole))
    assert not list(broken.path.rglob("*.tmp"))
    fill(broken)
    assert all_rows(broken) == all_rows(whole)


# Real processes

RUN = """
import sys
from fstore.workflows.extract import run as extraction
from fstore.workflows.extract.plan import Chosen
from fstore.store import Store
layers = sys.argv[2].split(",")
options = extraction.ExtractionOptions(batch_size=3, shard_bytes=1 << 19, workers=1)
print("ready", flush=True)
extraction.extract(Store.open(sys.argv[1]), layers=layers, ckpts=["random"], options=options)
"""


def start(store: Store, layers: str = "all") -> subprocess.Popen[str]:
    """Start an extraction in a process of its own, and wait until its imports are done."""
    environment = MappingProxyType({**os.environ, "OMP_NUM_THREADS": "1"})
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(store.path), layers],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill_and_resume(tmp_path: Path, images: Path, moments: list[float]) -> None:
    """SIGKILL an extraction at each moment, rerun, compare with an uninterrupted store."""
    whole = make_store(tmp_path / "whole", images)
    fill(whole)
    expected = all_rows(whole)
    for number, moment in enumerate(moments):
        store = make_store(tmp_path / f"killed{number}", images)
        process = start(store)
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        committed = all_rows(store)
        assert len(committed) % 752 == 0  # whole samples only: 752 channels over all layers
        fill(store)
        assert all_rows(store) == expected, f"killed after {moment} s"
        paths = {Path(f.uri) for f in store.files()}
        assert all(path.exists() for path in paths)


def test_sigkill_loses_at_most_a_shard(tmp_path: Path, images: Path) -> None:
    """Killed at two moments and run again, the store is that of an uninterrupted run."""
    kill_and_resume(tmp_path, images, [0.3, 0.8])


@pytest.mark.slow
def test_sigkill_at_twenty_random_moments(tmp_path: Path) -> None:
    """Killed at 20 random moments and run again, the store is that of an uninterrupted run."""
    images = make_images(tmp_path / "images", 40)
    random = np.random.default_rng(int(time.time()))
    kill_and_resume(tmp_path, images, [float(t) for t in random.uniform(0.05, 2.5, size=20)])


@pytest.mark.parametrize("work", [("conv1,conv5", "conv5,fc7"), ("all", "all")])
@pytest.mark.slow
def test_two_extractors_at_once_lose_and_double_nothing(
    tmp_path: Path, images: Path, work: tuple[str, str]
) -> None:
    """Two processes with overlapping, or the very same, work end in the store of one."""
    store, alone = make_store(tmp_path / "both", images), make_store(tmp_path / "alone", images)
    processes = [start(store, layers) for layers in work]
    errors = [p.communicate()[1] for p in processes]
    assert [p.returncode for p in processes] == [0, 0], errors
    layers = sorted({layer for text in work for layer in text.split(",")})
    fill(alone, *layers)
    assert all_rows(store) == all_rows(alone)


def test_ctrl_c_is_recorded(fresh: Store) -> None:
    """An interrupted run says so in ``runs`` and keeps the shards that were committed."""

    def interrupt(state: extraction.Progress) -> None:
        if state.done >= 10:  # in the second shard: the first is written behind
            raise KeyboardInterrupt

    earlier = threading.enumerate()  # of tests before, which the interpreter has not collected yet
    with pytest.raises(KeyboardInterrupt):
        fill(fresh, on_progress=interrupt)
    (run,) = fresh.rows("runs").to_pylist()
    assert run["exit"] == "interrupted"
    assert run["rows"] == len(all_rows(fresh)) > 0  # the shard behind was committed, and counts
    left = [t for t in threading.enumerate() if t not in earlier]
    assert [t.name for t in left if t.name.startswith("fstore-")] == []
    fill(fresh)
    assert len(all_rows(fresh)) == N_IMAGES * 752


def test_a_full_disk_is_a_clear_error_and_the_store_still_opens(
    small_disk: Callable[[int], Path], images: Path
) -> None:
    """On a disk that fills up: a named error, committed shards readable, no half shard."""
    place = small_disk(9)
    store = make_store(place / "store", images)
    filler = place / "filler"
    used = sum(p.stat().st_size for p in store.path.rglob("*") if p.is_file())
    filler.write_bytes(b"x" * ((9 << 20) - used - (250 << 10)))
    with pytest.raises(StorageError, match="No space left"):
        fill(store)
    rows = all_rows(Store.open(store.path))
    assert len(rows) % 752 == 0
    filler.unlink()
    fill(store)
    assert len(all_rows(store)) == N_IMAGES * 752


@pytest.mark.slow
def test_one_network_is_in_memory_at_a_time(fresh: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several checkpoints are loaded one after another: each is gone before the next comes."""
    for seed in (4, 5):
        workflows.init_checkpoint(fresh, network="caffenet-mini", name=f"c{seed}", seed=seed)
    load = workflows.load_network
    loaded: list[weakref.ref[torch.nn.Module]] = []

    def watched(store: Store, record: CheckpointRecord) -> Network:
        gc.collect()
        assert [model for model in loaded if model() is not None] == []
        network = load(store, record)
        loaded.append(weakref.ref(network.model))
        return network

    monkeypatch.setattr(checkpoints, "load_network", watched)
    summary = fill(fresh, "fc7", ckpts=["random", "c4", "c5"])
    assert summary.samples == 3 * N_IMAGES
    assert len(loaded) >= 3


def test_the_run_is_recorded(fresh: Store) -> None:
    """Table ``runs`` keeps parameters, fingerprints, versions, rows and speed."""
    summary = fill(fresh, "conv5")
    run = fresh.rows("runs").to_pylist()[-1]
    assert (run["kind"], run["exit"], run["rows"], run["device"]) == (
        "extract",
        "ok",
        12 * 48,
        "cpu",
    )
    assert run["bytes"] == sum(Path(f.uri).stat().st_size for f in fresh.files())
    assert set(json.loads(run["versions"])) >= {"fstore", "torch", "python"}
    assert list(json.loads(run["fingerprints"])) == ["caffenet-mini/random noise.image conv5"]
    assert run["images_per_s"] == pytest.approx(summary.samples / summary.seconds)
