"""Bytes that questions about a layer read from object storage, as a share of the layer's.

    python benchmarks/remote_reads.py [--samples 2000] [--most 0.05] [--json FILE]

Fills conv5 of CaffeNet (256 x 6 x 6; drawn at random, of the paper's density) into a store on a
SeaweedFS server on this machine, in the ways that stores are filled: conv5 alone (one file), all
layers at once (files of 384 samples), and those after ``fstore compact``. A proxy before the server
counts the bytes of each answer. Each question is asked in a process of its own. The status is 1 if
one filter's maps by SQL take more than ``--most`` where the layer is in one file.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(TESTS)]

from _synthetic import labelled_store, single_labels  # noqa: E402

import fstore  # noqa: E402
from _fault_proxy import Proxy, proxied  # noqa: E402
from _object_server import running  # noqa: E402

OPEN = "import sys, fstore; store = fstore.open(sys.argv[1]);"
WHERE = "layer = 'conv5' AND ckpt = 'synthetic'"
SCAN = "store.scan('conv5', 'synthetic', dataset='drawn')"
QUESTIONS = {
    "one filter's maximum by SQL": (
        f'store.sql("SELECT sample_id, act_max FROM activations WHERE {WHERE} AND channel = 7")'
        ".arrow()"
    ),
    "one filter's maps by SQL": (
        f'store.sql("SELECT sample_id, map FROM activations WHERE {WHERE} AND channel = 7").arrow()'
    ),
    "one filter, all columns, by SQL": (
        f'store.sql("SELECT * FROM activations WHERE {WHERE} AND channel = 7").arrow()'
    ),
    "one filter's maps by Polars": (
        f"import polars; {SCAN}.filter(polars.col('channel') == 7)"
        ".select('sample_id', 'map').collect()"
    ),
    "the layer": "store.features('conv5', 'synthetic', 'drawn').X",
}


def ask(uri: str, question: str, proxy: Proxy) -> tuple[int, int]:
    """Ask in a new process; return how many bytes of data files it read, and in how many reads."""
    proxy.requests.clear()
    environment = {**os.environ, **proxy.server.environment}
    subprocess.run([sys.executable, "-c", f"{OPEN} {question}", uri], check=True, env=environment)
    reads = [r for r in proxy.requests if r.method == "GET" and "/activations/" in r.path]
    reads = [r for r in reads if r.path.partition("?")[0].endswith(".parquet")]
    return sum(r.n_bytes for r in reads), len(reads)


def measure(n_samples: int) -> Iterator[dict[str, Any]]:
    """Yield a row a way and question: bytes, reads, and the share of the layer's bytes."""
    with running() as server, proxied(server) as proxy, tempfile.TemporaryDirectory() as folder:
        os.environ.update(server.environment, FSTORE_CACHE=folder)
        for way, shard in (("alone", n_samples), ("384 a file", 384)):
            uri = server.fresh()
            labels = single_labels(n_samples)
            labelled_store(uri, "conv5", labels, (), view="image", shard=shard)
            yield from ask_all(uri, way, proxy)
        fstore.open(uri).compact()
        yield from ask_all(uri, "compacted", proxy)


def ask_all(uri: str, way: str, proxy: Proxy) -> Iterator[dict[str, Any]]:
    """Yield a row a question."""
    asked = [(what, *ask(uri, question, proxy)) for what, question in QUESTIONS.items()]
    whole = asked[-1][1]
    for what, n_bytes, n_reads in asked:
        share = n_bytes / whole
        yield {"way": way, "what": what, "bytes": n_bytes, "reads": n_reads, "share": share}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=2_000)
    parser.add_argument("--most", type=float, default=1 / 20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    for row in measure(given.samples):
        rows.append(row)
        print(
            f"{row['way']:<11} {row['what']:<33} {row['bytes']:>11,} bytes, {row['reads']:>3} "
            f"reads: 1/{1 / row['share']:.1f} of the layer's",
            flush=True,
        )
    if given.json:
        given.json.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    told = [r["share"] for r in rows if r["way"] != "384 a file" and "maps by SQL" in r["what"]]
    return int(max(told) > given.most)


if __name__ == "__main__":
    sys.exit(main())
