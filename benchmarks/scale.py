"""CPU seconds and memory of stores with a thousand to a hundred thousand files.

    python benchmarks/scale.py [--files 1000 20000 100000] [--folder FOLDER] [--json RESULT] [--s3]
    python benchmarks/scale.py --plot BEFORE AFTER --figure docs/images/scale.svg

The log is what real commits give: the first commit is made by ``write_shard``, the others have its
lines with other names, eight layers a commit, and the sums of all are noted. There are 4 networks,
8 checkpoints, 2 data sets and 8 layers, 512 partitions; more files are more shards in each. Data
files are hard links to those of the first commit, of 4 samples and 8 filters: what is measured is
the log. Each figure is of a process of its own, the least of ``--rounds``. With ``--s3`` the store
lies on a SeaweedFS server on this machine: all but data files that no question reads.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(TESTS)]

from _object_server import ObjectServer, running  # noqa: E402

BUILDER = Path(__file__).with_name("_months.py")
QUESTION = (
    "SELECT count(*) AS n, avg(act_max) AS mean FROM activations "
    "WHERE network = 'net-1' AND ckpt = '3k' AND dataset = 'data-1' AND layer = 'layer-5'"
)
INSIDE = """
import sys, time
import fstore
store = fstore.open(sys.argv[1])
question = sys.argv[2]
store.sql(question).rows()
began = time.process_time(), time.perf_counter()
store.sql(question).rows()
print(time.process_time() - began[0], time.perf_counter() - began[1])
"""


def cost(command: list[str]) -> tuple[float, float, float, str]:
    """Run a program; return its CPU seconds, the most memory (MB), seconds, and what it printed."""
    pipe, began = subprocess.PIPE, time.perf_counter()
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        text = process.stdout.read()
        _, state, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(state)
    if process.returncode:
        raise SystemExit(f"{command} failed")
    seconds = time.perf_counter() - began
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, seconds, text


def measures(place: str) -> Iterator[tuple[str, Callable[[], tuple[float, float, float]]]]:
    """Yield what is measured, and how: CPU seconds, the most memory in MB, and seconds."""
    program = [sys.executable, "-m", "fstore", "--store", place]
    for name, arguments in {
        "first SQL of one layer": ["sql", QUESTION],
        "SELECT 1": ["sql", "SELECT 1"],
        "status": ["status"],
        "report list": ["report", "list"],
    }.items():
        yield name, lambda a=arguments: cost([*program, *a])[:3]

    def again() -> tuple[float, float, float]:
        _, memory, _, text = cost([sys.executable, "-c", INSIDE, place, QUESTION])
        cpu, seconds = map(float, text.split())
        return cpu, memory, seconds

    yield "the same again in the session", again

    def commits() -> tuple[float, float, float]:
        _, memory, _, text = cost([sys.executable, str(BUILDER), "commit", place])
        cpu, seconds = map(float, text.split())
        return cpu, memory, seconds

    yield "commit of one shard", commits


def run(
    sizes: list[int], folder: Path, *, rounds: int, server: ObjectServer | None
) -> list[dict[str, Any]]:
    """Return the figures: a row a size and question."""
    rows = []
    for n_files in sizes:
        place = folder / f"store-{n_files}"
        if not place.exists():
            cost([sys.executable, str(BUILDER), "build", str(n_files), str(place)])
        for what, measure in measures(str(place) if server is None else put(place, server)):
            measure()  # the page cache, and what fstore itself keeps, as in daily work
            figures = [measure() for _ in range(rounds)]
            row = {
                "files": n_files,
                "what": what,
                "cpu_s": round(min(f[0] for f in figures), 3),
                "memory_mb": round(max(f[1] for f in figures)),
                "wall_s": round(min(f[2] for f in figures), 3),
            }
            rows.append(row)
            print(
                f"{n_files:>8,}  {what:<30} {row['cpu_s']:>7.3f} s of CPU, {row['wall_s']:>7.3f} s,"
                f" {row['memory_mb']:>6} MB",
                flush=True,
            )
    return rows


def put(place: Path, server: ObjectServer) -> str:
    """Send a store to a server, without data files that no question reads; return its URI."""
    from fstore.store.places import place_at

    os.environ.update(server.environment)
    uri = server.fresh()
    remote = place_at(uri)
    asked = "network=net-1/ckpt=3k/dataset=data-1"
    files = [path for path in place.rglob("*") if path.is_file()]
    sent = [p for p in files if not ("network=" in str(p) and asked not in str(p))]
    with ThreadPoolExecutor(16) as threads:
        keys = (str(path.relative_to(place)) for path in sent)
        list(threads.map(remote.write, keys, (path.read_bytes() for path in sent)))
    return uri


def read(file: Path, when: str) -> list[dict[str, Any]]:
    """Return the figures of a run."""
    return [{**json.loads(line), "when": when} for line in file.read_text().splitlines()]


def draw(before: Path, after: Path, figure: Path) -> None:
    """Draw two runs, a panel a question, both axes logarithmic."""
    import altair as alt

    from fstore.queries.figures.vega import save_chart

    rows = [*read(before, "before"), *read(after, "now")]
    order = list(dict.fromkeys(row["what"] for row in rows))
    sizes = sorted({row["files"] for row in rows})
    cost = alt.Y("cpu_s:Q", title="CPU time (s)").scale(type="log")
    files = alt.X("files:Q", title="Files in the log").scale(type="log")
    when = {"scale": alt.Scale(domain=["before", "now"]), "title": None}
    lines = (
        alt.Chart(alt.Data(values=rows), width=190, height=130)
        .mark_line(point=True)
        .encode(
            x=files.axis(values=sizes, format="~s"),
            y=cost.axis(values=[0.01, 0.1, 1, 10], format="~g"),
            color=alt.Color("when:N", **when),
            strokeDash=alt.StrokeDash("when:N", **when),
        )
        .facet(alt.Facet("what:N", sort=order, title=None), columns=3)
    )
    print(save_chart(lines, figure))


def main() -> None:
    """Measure, or draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 20_000, 100_000])
    parser.add_argument("--folder", type=Path, help="Where stores are kept; default: none is.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="Write the figures to this file.")
    parser.add_argument("--plot", type=Path, nargs=2, metavar=("BEFORE", "AFTER"))
    parser.add_argument("--figure", type=Path, default=Path("docs/images/scale.svg"))
    parser.add_argument("--s3", action="store_true", help="On a server of object storage.")
    given = parser.parse_args()
    if given.plot:
        draw(*given.plot, given.figure)
        return
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        server = stack.enter_context(running()) if given.s3 else None
        folder = given.folder or Path(temporary)
        rows = run(given.files, folder, rounds=given.rounds, server=server)
    if given.json:
        given.json.write_text("\n".join(map(json.dumps, rows)) + "\n")


if __name__ == "__main__":
    main()
