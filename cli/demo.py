"""``fstore demo``: the whole way from images to answers, on data that needs no download."""

import shlex
import shutil
import sys
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from fstore.cli.app import app

__all__ = ["demo"]

DENSITY = """
SELECT layer, round(100 * avg(nnz / (height * width)) FILTER (ckpt = '5'), 1) AS after_5,
       round(100 * avg(nnz / (height * width)) FILTER (ckpt = '50'), 1) AS after_50,
       round(100 * avg(nnz / (height * width)) FILTER (ckpt = '300'), 1) AS after_300
FROM activations JOIN layers USING (network, layer)
WHERE dataset = 'scenes' AND view = 'image' GROUP BY layer ORDER BY layer
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
  AND ckpt IN ('5', '15', '50', '100', '300')
GROUP BY ckpt, channel ORDER BY ckpt::INT
"""

STUDY = str(Path(__file__).with_name("digits.toml"))

REPORTS = (
    ("table1", "What are pre-training and fine-tuning worth? (Table 1 of the paper)"),
    ("table2", "Is it enough to fine-tune the fully connected layers? (Table 2)"),
    ("table3", "Is longer pre-training better for another data set? (Table 3)"),
    ("table4", "And when fine-tuning follows? (Table 4)"),
    ("table6", "How sparse are the layers' responses? (Table 6)"),
    ("table7", "What do a response's size and place carry? (Table 7)"),
    ("table8", "And in detection, from proposals to mean average precision? (Table 8)"),
)

STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "A study of a small CaffeNet, from data sets that need no download to all its reports",
        ("reproduce", STUDY, "--no-page"),
    ),
    (
        "How dense are the layers' responses, in percent, as pre-training goes on?",
        ("sql", DENSITY),
    ),
    (
        "Which single conv5 filter tells each digit best (average precision)?",
        ("sql", BEST_FILTERS),
    ),
    ("What does filter 7 of conv5 respond to most, at each checkpoint?", ("sql", TOP_IMAGES)),
    *((question, ("report", "show", name)) for name, question in REPORTS),
)

PAGE = "page"
"""Folder of the built page, in the store's."""


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
    for title, command in STEPS:
        typer.echo(f"\n# {title}")
        _run(out, command, quiet=ctx.obj["quiet"])
    typer.echo("\n# All tables and figures as a page; open this file in a browser:")
    _run(out, ("report", "build", str(out / PAGE), "--overwrite"), quiet=ctx.obj["quiet"])
    typer.echo(f"\nDone in {perf_counter() - began:.0f} s. Ask on:")
    typer.echo(
        f'  {_program()} --store {shlex.quote(str(out))} sql "SELECT count(*) FROM activations"'
        "   # docs/sql.md has recipes"
    )


def _run(out: Path, command: tuple[str, ...], *, quiet: bool) -> None:
    """Show a command as one would type it, then do it."""
    words = [f'"{w}"' if w.startswith("\n") else shlex.quote(w) for w in command]
    typer.echo(f"$ {_program()} --store {shlex.quote(str(out))} {' '.join(words)}", nl=True)
    options = ["--store", str(out), *(["--quiet"] if quiet else [])]
    status = app([*options, *command], standalone_mode=False)
    if status:  # the step has said what is wrong
        raise typer.Exit(status)


def _program() -> str:
    """Return what starts this program where one stands: its name if that is on the PATH."""
    if shutil.which("fstore") is not None:
        return "fstore"
    return f"{shlex.quote(sys.executable)} -m fstore"
