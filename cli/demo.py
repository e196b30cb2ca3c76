"""``fstore demo``: the whole way from images to answers, on data that needs no download."""

import shlex
import shutil
import sys
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from fstore import commands
from fstore.cli.app import app
from fstore.cli.places import page_beside

__all__ = ["demo"]

DENSITY = """
SELECT layer, round(100 * avg(nnz / (height * width)) FILTER (ckpt = '45'), 1) AS after_45,
       round(100 * avg(nnz / (height * width)) FILTER (ckpt = '190'), 1) AS after_190,
       round(100 * avg(nnz / (height * width)) FILTER (ckpt = '1200'), 1) AS after_1200
FROM activations JOIN layers USING (network, layer)
WHERE dataset = 'scenes' AND view = 'image' GROUP BY layer ORDER BY layer
"""

BEST_FILTERS = """
WITH ap AS (
    SELECT class, channel, round(voc_ap(act_max, label), 3) AS ap
    FROM activations JOIN all_labels USING (dataset, view, sample_id)
    WHERE ckpt = '1200' AND layer = 'conv5' AND dataset = 'scenes' AND view = 'gt'
    GROUP BY class, channel)
SELECT class, arg_max(channel, ap) AS best_filter, max(ap) AS ap, round(avg(ap), 3) AS mean_ap
FROM ap GROUP BY class ORDER BY class
"""

TOP_IMAGES = """
SELECT ckpt, channel, list(image_id ORDER BY act_max DESC)[1:3] AS top_images,
       round(max(act_max), 2) AS largest, count_if(act_max > 0) AS fires_for
FROM activations JOIN samples USING (dataset, view, sample_id)
WHERE dataset = 'scenes' AND view = 'image' AND layer = 'conv5' AND channel = 7
  AND ckpt IN ('45', '190', '600', '1200')
GROUP BY ckpt, channel ORDER BY ckpt::INT
"""

CHANCE = """
WITH lots AS (
    SELECT class, lot, count_if(label = 1) AS scenes,
           voc_ap(hash(sample_id, lot)::DOUBLE, label) AS ap
    FROM all_labels JOIN splits USING (dataset, view, sample_id), range(100) AS lots(lot)
    WHERE dataset = 'scenes' AND view = 'image' AND part = 'test' GROUP BY class, lot)
SELECT class, any_value(scenes) AS test_scenes_with_it, round(100 * avg(ap), 1) AS ap_of_chance
FROM lots GROUP BY class ORDER BY class
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
    ("An empty store", ("init",)),
    (
        "Scenes of handwritten digits, drawn here: no download",
        ("dataset", "add", "scenes", "--format", "digit-scenes", "--large", "--images", "850"),
    ),
    (
        "How well does chance tell the digits? Average precision (percent) of 100 random rankings",
        ("sql", CHANCE),
    ),
    (
        "A study of a small CaffeNet: training, extraction, reports. This takes longest",
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


@app.command()
def demo(
    ctx: typer.Context,
    out: Annotated[
        str,
        typer.Option(
            metavar="PATH",
            help="Folder, or URI such as s3://bucket/demo, of the store that is made. Default: "
            "--store, where it is given, else fstore-demo.",
        ),
    ] = "",
) -> None:
    """Train a small network, store its activations and ask questions of them; no download.

    Example: fstore demo --out fstore-demo
    """
    began = perf_counter()
    out = out or _given_store(ctx) or "fstore-demo"
    for title, command in STEPS:
        typer.echo(f"\n# {title}")
        _run(out, command, quiet=ctx.obj["quiet"])
    typer.echo("\n# All tables and figures as a page; open this file in a browser:")
    _run(out, ("report", "build", str(page_beside(out)), "--overwrite"), quiet=ctx.obj["quiet"])
    typer.echo(f"\nDone in {perf_counter() - began:.0f} s. Three things to do next:")
    for what, line in _next_steps(out):
        typer.echo(f"\n  # {what}\n  {line}")


def _next_steps(out: str) -> tuple[tuple[str, str], ...]:
    """Return what to do with the store, and the commands, which work from any folder."""
    place = out if "://" in out else str(Path(out).resolve())
    lines = (
        ("Look at filters, images and checkpoints in the browser", commands.explore(place)),
        ("See which of the paper's claims hold here", commands.report_findings(place)),
        ("Ask a question of your own", commands.sql(place, "SELECT count(*) FROM activations")),
    )
    return tuple((what, line.replace("fstore", _full_path(), 1)) for what, line in lines)


def _full_path() -> str:
    """Return what starts this program from any folder."""
    program = Path(sys.executable).with_name("fstore")
    if program.is_file():
        return shlex.quote(str(program))
    return f"{shlex.quote(sys.executable)} -m fstore"


def _given_store(ctx: typer.Context) -> str:
    """Return the store that --store names, before or after the command; empty if it is not given.

    That of the environment is somebody's own: no demo is put there.
    """
    before = ctx.parent.params.get("store") if ctx.parent is not None else ""
    after = "store" in ctx.meta.get("fstore.given", ())
    return str(ctx.obj["store"]) if before or after else ""


def _run(out: str, command: tuple[str, ...], *, quiet: bool) -> None:
    """Show a command as one would type it, then do it."""
    words = [f'"{w}"' if w.startswith("\n") else shlex.quote(w) for w in command]
    typer.echo(f"$ {_program()} --store {shlex.quote(out)} {' '.join(words)}", nl=True)
    options = ["--store", out, *(["--quiet"] if quiet else [])]
    status = app([*options, *command], standalone_mode=False)
    if status:  # the step has said what is wrong
        typer.echo(
            f"The demo ends here. If {out} is the demo of an earlier version, make this one in "
            f"another folder: {_program()} demo --out PATH",
            err=True,
        )
        raise typer.Exit(status)


def _program() -> str:
    """Return what starts this program where one stands: its name if that is on the PATH."""
    if shutil.which("fstore") is not None:
        return "fstore"
    return f"{shlex.quote(sys.executable)} -m fstore"
