"""What putting small files together changes: files, bytes, and what one filter and top-k cost.

    python benchmarks/compact.py STORE --layer L [--target-mb 256] [--rounds 5]

The store is changed: give a copy. Each question is asked before and after with the files in the
page cache: wall seconds and seconds of work of all threads (``time.process_time``), medians over
rounds after one warm-up, each with another filter; and the megabytes that were read
(``/proc/self/io``, so Linux only). A new session is opened for each round, as a command does. The
answers before and after are compared, too.

one filter, SQL
    ``SELECT sample_id, act_max, act_sum`` of one filter over all samples.
one filter, maps
    ``read_features`` of one filter over all samples.
top 9 of all filters
    ``strongest`` of every filter of the layer.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fstore.store import Store
from fstore.store.features import layer_shape, read_features
from fstore.store.identity import Partition
from fstore.store.topk import strongest
from fstore.store.versions import partition_version

TOP = 9
SQL = """
SELECT sample_id, act_max, act_sum FROM activations
WHERE network = ? AND ckpt = ? AND dataset = ? AND view = ? AND layer = ? AND channel = ?
ORDER BY sample_id
"""


def read_bytes() -> int:
    """Return how many bytes this process has read so far, from whatever file."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


def filter_by_sql(place: Path, partition: Partition, channel: int) -> np.ndarray[Any, Any]:
    """Return what SQL has of one filter."""
    rows = Store.open(place).sql(SQL, [*partition.values.values(), channel]).arrow()
    return np.column_stack([rows[name].to_numpy() for name in ("sample_id", "act_max", "act_sum")])


def filter_maps(place: Path, partition: Partition, channel: int) -> np.ndarray[Any, Any]:
    """Return the maps of one filter."""
    ((_, X),) = read_features(Store.open(place), partition, channels=[channel])
    return X[:, 0]


def top_of_all(place: Path, partition: Partition, _: int) -> np.ndarray[Any, Any]:
    """Return the strongest samples of all filters."""
    return strongest(Store.open(place), partition, k=TOP).sample_ids


QUESTIONS: dict[str, Callable[[Path, Partition, int], np.ndarray[Any, Any]]] = {
    "one filter, SQL": filter_by_sql,
    "one filter, maps": filter_maps,
    f"top {TOP} of all filters": top_of_all,
}


def measured(
    place: Path, partition: Partition, channels: list[int]
) -> dict[str, tuple[float, float, float, list[Any]]]:
    """Return question -> median seconds, seconds of work, MB read, and the answers."""
    results = {}
    for name, ask in QUESTIONS.items():
        figures, answers = [], []
        for channel in [channels[0], *channels]:
            began, worked, read = time.perf_counter(), time.process_time(), read_bytes()
            answers.append(ask(place, partition, channel))
            figures.append(
                (
                    time.perf_counter() - began,
                    time.process_time() - worked,
                    (read_bytes() - read) / 1e6,
                )
            )
        medians = (statistics.median(column) for column in zip(*figures[1:], strict=True))
        results[name] = (*medians, answers)
    return results


def main() -> None:
    """Measure, put together, measure again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("--layer", required=True)
    parser.add_argument("--target-mb", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    store = Store.open(args.store)
    partitions = {file.partition for file in store.files(layer=args.layer)}
    (partition,) = partitions  # of a layer of one checkpoint and one view
    n_channels = layer_shape(store, partition).channels
    channels = np.random.default_rng(0).permutation(n_channels)[: args.rounds].tolist()
    version = partition_version(store.files(**partition.values))
    before = measured(args.store, partition, channels)
    began, worked = time.perf_counter(), time.process_time()
    (row,) = store.compact(target_mb=args.target_mb, **partition.values)
    print(
        f"{partition}: {row['files_before']} files, {row['bytes_before'] / 1e6:.0f} MB -> "
        f"{row['files_after']} files, {row['bytes_after'] / 1e6:.0f} MB in "
        f"{time.perf_counter() - began:.0f} s ({time.process_time() - worked:.0f} s of work)"
    )
    assert partition_version(store.files(**partition.values)) == version
    after = measured(args.store, partition, channels)
    print(f"{'':24}{'seconds':>16}{'work s':>18}{'MB read':>18}")
    for name, (*old, answers) in before.items():
        *new, answers_after = after[name]
        for a, b in zip(answers, answers_after, strict=True):
            np.testing.assert_array_equal(a, b)
        cells = (f"{x:.2f} -> {y:.2f}" for x, y in zip(old, new, strict=True))
        print(f"{name:24}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
