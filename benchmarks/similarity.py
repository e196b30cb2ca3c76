"""Linear CKA of twelve layers with twelve, read from a store, beside plain NumPy in memory.

    python benchmarks/similarity.py [--samples 2000]

Two checkpoints of twelve layers are drawn: four of 64 x 14 x 14, four of 128 x 7 x 7 and four of
1,024 responses. Each is written twice, as a store and as one ``.npy`` file a layer. Each route is a
process of its own. ``imports`` only opens the store. ``store`` asks ``cka`` over whole maps.
``NumPy`` loads all 24 feature matrices into memory in float64, centres them, and compares their
inner products. The peak is that of the process, libraries included. Both routes must give the same
values within 1e-9.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _synthetic import responses
from numpy.typing import NDArray

from fstore.queries.analyses import ask
from fstore.store import Store
from fstore.store.files import Identity, Partition
from fstore.store.sink import write_shard
from fstore.types import (
    ActivationBatch,
    DatasetManifest,
    LayerSpec,
    SampleRecord,
    ViewManifest,
)

SHAPES = {
    f"{kind}{i}": shape
    for kind, shape in (("early", (64, 14, 14)), ("late", (128, 7, 7)), ("fc", (1024, 1, 1)))
    for i in range(4)
}
CKPTS = ("a", "b")
BATCH = 500
DENSITY = 0.33
ROUTES = ("imports", "store", "NumPy")


def drawn(folder: Path, n_samples: int) -> None:
    """Write a store of drawn responses, a third of them above 0, and the same as plain arrays."""
    store = Store.create(folder / "store")
    specs = [
        LayerSpec(name, *shape, "fc" if shape[1] == 1 else "conv", i, "synthetic")
        for i, (name, shape) in enumerate(SHAPES.items())
    ]
    store.add_layers("twelve", specs)
    samples = tuple(SampleRecord(str(i), f"{i}.jpg", "", 9, 9, {}) for i in range(n_samples))
    view = ViewManifest("image", samples, ())
    store.register_dataset(DatasetManifest("drawn", "multi", ("a",), folder, (view,)))
    random = np.random.default_rng(0)
    for ckpt in CKPTS:
        for name in SHAPES:
            write_layer(store, folder / f"{ckpt}-{name}.npy", random, n_samples)


def write_layer(store: Store, array: Path, random: np.random.Generator, n_samples: int) -> None:
    """Write one layer's responses both ways; the array's name says the checkpoint and the layer."""
    ckpt, layer = array.stem.split("-")
    place, kept = Partition("twelve", ckpt, "drawn", "image", layer), []
    for start in range(0, n_samples, BATCH):
        ids = np.arange(start, min(start + BATCH, n_samples), dtype=np.int64)
        batch = responses(random, len(ids), SHAPES[layer], DENSITY)
        kept.append((batch.act_max if batch.maps is None else batch.maps).reshape(len(ids), -1))
        identity = Identity({"weights": "none: drawn"})
        write_shard(store.place, [ActivationBatch(ids, {layer: batch})], {place: identity})
    np.save(array, np.concatenate(kept))


def from_store(folder: Path) -> list[float]:
    """Return CKA of each layer of one checkpoint with each of the other, from the store."""
    store, (ckpt, other) = Store.open(folder / "store"), CKPTS
    rows = ask(store, "cka", ckpt=ckpt, other=other, dataset="drawn", ablation="none")
    cells = {(row["layer"], row["other_layer"]): float(row["cka"]) for row in rows}
    return [cells[one, two] for one in SHAPES for two in SHAPES]


def in_memory(folder: Path) -> list[float]:
    """Return the same from arrays, all of them in memory at once."""
    a, b = ([loaded(folder / f"{ckpt}-{name}.npy") for name in SHAPES] for ckpt in CKPTS)
    first, second = ([X @ X.T for X in matrices] for matrices in (a, b))
    norms = [[float(np.linalg.norm(K)) for K in grams] for grams in (first, second)]
    return [
        float(np.vdot(K, L)) / (norm * other)
        for K, norm in zip(first, norms[0], strict=True)
        for L, other in zip(second, norms[1], strict=True)
    ]


def loaded(array: Path) -> NDArray[np.float64]:
    """Return centred features, of shape (n_samples, n_features)."""
    X: NDArray[np.float64] = np.load(array).astype(np.float64)
    X -= X.mean(axis=0)
    return X


def measured(route: str, folder: Path) -> dict[str, object]:
    """Go one route in this process; return the values and what it took."""
    wall, cpu, values = time.perf_counter(), time.process_time(), []
    if route == "store":
        values = from_store(folder)
    elif route == "NumPy":
        values = in_memory(folder)
    else:
        Store.open(folder / "store")
    return {
        "values": values,
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak": peak(),
    }


def peak() -> float:
    """Return this process's peak memory, GiB; ``ru_maxrss`` would count the parent's."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def main() -> None:
    """Draw the responses, and print a row for each route."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--route", choices=ROUTES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.route:
        print(json.dumps(measured(given.route, given.folder)))
        return
    with tempfile.TemporaryDirectory() as made:
        drawn(Path(made), given.samples)
        compare(Path(made), given.samples)


def compare(folder: Path, n_samples: int) -> None:
    """Print what each route took, and how far their values are apart."""
    features = len(CKPTS) * sum(int(np.prod(shape)) for shape in SHAPES.values())
    print(f"all features in float64: {8 * n_samples * features / 2**30:.2f} GiB")
    print("| route | seconds | CPU s | GiB peak |\n| --- | ---: | ---: | ---: |", flush=True)
    values = {}
    for route in ROUTES:
        command = [sys.executable, __file__, "--route", route, "--folder", str(folder)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        told = json.loads(done.stdout)
        values[route] = np.array(told["values"])
        print(
            f"| {route} | {told['wall']:.1f} | {told['cpu']:.1f} | {told['peak']:.2f} |", flush=True
        )
    apart = float(np.abs(values["store"] - values["NumPy"]).max())
    print(f"{len(values['store'])} cells, at most {apart:.0e} apart")
    if not apart < 1e-9:
        raise SystemExit("the two routes do not agree")


if __name__ == "__main__":
    main()
