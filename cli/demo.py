"""``fstore demo``: the whole way from images to answers, on data that needs no download."""

import shlex
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from fstore.cli.app import app

__all__ = ["demo"]

SNAPSHOTS = ("5", "15", "50", "100", "300")

DENSITY = """
SELECT layer, round(100 * avg(nnz / (height * width)) FILTER (ckpt = '5'), 1) AS after_5,
       round(100 * avg(nnz / (height * width)) FILTER (ckpt = '50'), 1) AS after_50,
       round(100 * avg(nnz / (height * width)) FILTER (ckpt = '300'), 1) AS after_300
FROM activations JOIN layers USING (network, layer)
WHERE dataset = 'digits' GROUP BY layer ORDER BY layer
"""

BEST_FILTERS = """
WITH ap AS (
    SELECT class, channel, round(voc_ap(act_max, label), 3) AS ap
    FROM activations JOIN all_labels USING (dataset, view, sample_id)
    WHERE ckpt = '300' AND layer = 'conv5' AND dataset = 'scenes' AND view = 'gt'
    GROUP BY class, channel)
SELECT class, arg_max(channel, ap) AS best_filter, max(ap) AS ap, round(avg(ap), 3) AS mean_ap
FROM ap GROUP BY class ORDER BY class
"""

TOP_IMAGES = """
SELECT ckpt, channel, list(image_id ORDER BY act_max DESC)[1:3] AS top_images,
       round(max(act_max), 2) AS largest, count_if(act_max > 0) AS fires_for
FROM activations JOIN samples USING (dataset, view, sample_id)
WHERE dataset = 'scenes' AND view = 'image' AND layer = 'conv5' AND channel = 7
GROUP BY ckpt, channel ORDER BY ckpt::INT
"""

STEPS: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    (
        "A store, and two data sets that need no download",
        (
            ("init",),
            ("dataset", "add", "digits", "--format", "digits"),
            ("dataset", "add", "scenes", "--format", "digit-scenes"),
            ("dataset", "list"),
        ),
    ),
    (
        "A small CaffeNet, pre-trained on the digits; snapshots become checkpoints",
        (
            (
                *("train", "pretrain", "--network", "caffenet-mini", "--dataset", "digits"),
                *("--iterations", "300", "--snapshots", ",".join(SNAPSHOTS)),
            ),
        ),
    ),
    (
        "Every layer of every snapshot, whole images and ground-truth boxes",
        (("extract", "--layer", "all", *(a for s in SNAPSHOTS for a in ("--ckpt", s))),),
    ),
    (
        "How dense are the layers' responses, in percent, as pre-training goes on?",
        (("sql", DENSITY),),
    ),
    (
        "Which single conv5 filter tells each digit best (average precision)?",
        (("sql", BEST_FILTERS),),
    ),
    ("What does filter 7 of conv5 respond to most, at each checkpoint?", (("sql", TOP_IMAGES),)),
    (
        "Table 6 of the paper, for this network",
        (
            ("study", "set", str(Path(__file__).with_name("digits.toml"))),
            ("report", "show", "table6"),
        ),
    ),
)


@app.command()
def demo(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the store that is made.")] = Path(
        "fstore-demo"
    ),
) -> None:
    """Make a store of real activations and ask it questions; a few minutes, no download.

    Example: fstore demo --out fstore-demo
    """
    began = perf_counter()
    for title, commands in STEPS:
        typer.echo(f"\n# {title}")
        for command in commands:
            _run(out, command, quiet=ctx.obj["quiet"])
    typer.echo(f"\nDone in {perf_counter() - began:.0f} s. Ask on:")
    typer.echo(
        f'  fstore --store {shlex.quote(str(out))} sql "SELECT ..."   # docs/sql.md has recipes'
    )


def _run(out: Path, command: tuple[str, ...], *, quiet: bool) -> None:
    """Show a command as one would type it, then do it."""
    shown = [Path(word).name if word.endswith(".toml") else word for word in command]
    words = [f'"{w}"' if w.startswith("\n") else shlex.quote(w) for w in shown]
    typer.echo(f"$ fstore {' '.join(words)}", nl=True)
    options = ["--store", str(out), *(["--quiet"] if quiet else [])]
    app([*options, *command], standalone_mode=False)
