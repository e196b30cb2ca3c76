"""``fstore ckpt list`` draws the lineage; ``fstore ckpt show`` the recipe and the curves."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from _charts import channels, points, titles
from fstore.cli import app
from fstore.queries.figures.curves import (
    curve_rows,
    longest_runs,
    plot_curves,
    recipe_of,
    sparkline,
)
from fstore.queries.studies.lineage import lineage
from fstore.store import Store
from fstore.types import CheckpointRecord

TRAINED = {
    "kind": "finetune",
    "mode": "ft",
    "classes": ["cat", "dog"],
    "recipe": {"lr": 0.001, "step": 20},
    "held_out_accuracy": 0.75,
    "curve": [[10, 2.0], [20, 1.0], [30, 0.5]],
    "validation": [[15, 0.5], [30, 0.75]],
}


def register(store: Store, name: str, parent: str | None = None, **given: Any) -> None:  # noqa: ANN401
    """Register a checkpoint whose file holds its name."""
    weights = store.path.parent / "w.safetensors"
    weights.write_text(name)
    network = given.pop("network", "net")
    record = CheckpointRecord(network, name, sha256=f"{network}{name}" * 9, parent=parent, **given)
    store.register_checkpoint(record, weights)


@pytest.fixture
def family(empty: Store) -> Store:
    """Return a store of checkpoints with children, grandchildren, and an orphan."""
    register(empty, "5", iteration=5)
    register(empty, "300", iteration=300)
    register(empty, "300-x-ft", "300", iteration=20, lr=0.001, recipe=json.dumps(TRAINED))
    register(empty, "again", "300-x-ft", iteration=9)
    register(empty, "300-x-fc-ft", "300", iteration=30)
    register(empty, "orphan", "dropped", iteration=1)
    register(empty, "300", network="other", iteration=1)
    return empty


def run(store: Store, *words: str) -> str:
    """Run ``fstore --store ROOT WORDS`` and return its stdout."""
    done = CliRunner().invoke(app, ["--store", str(store.path), *words])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_the_list_is_a_tree(family: Store) -> None:
    """Each checkpoint stands above those that were trained from it, by network."""
    lines = run(family, "ckpt", "list").splitlines()[2:]
    columns = [(line.split()[0], line[: line.index("  ", 22)]) for line in lines]
    assert [line.removeprefix(network).strip() for network, line in columns] == [
        "orphan",
        "5",
        "300",
        "├─ 300-x-ft",
        "│  └─ again",
        "└─ 300-x-fc-ft",
        "300",
    ]
    assert [network for network, _ in columns] == ["net"] * 6 + ["other"]


def test_json_and_csv_stay_flat(family: Store) -> None:
    """For programs the list has a row a checkpoint, plain names, and a column parent."""
    rows = json.loads(run(family, "ckpt", "list", "--network", "net", "--json"))
    assert {row["name"]: row["parent"] for row in rows} == {
        "orphan": "dropped",
        "5": None,
        "300": None,
        "300-x-ft": "300",
        "again": "300-x-ft",
        "300-x-fc-ft": "300",
    }
    assert all(len(row["sha256"]) > 12 for row in rows)
    text = run(family, "ckpt", "list", "--csv")
    assert text.startswith("network,name,iteration,lr,loss,seed,parent,sha256\n")
    assert "net,again,9,,,,300-x-ft," in text


def test_a_circle_is_listed_once() -> None:
    """Checkpoints that descend from one another, as dropping allows, are each listed once."""
    records = [
        CheckpointRecord("n", "a", parent="b"),
        CheckpointRecord("n", "b", parent="a"),
        CheckpointRecord("n", "self", parent="self"),
        CheckpointRecord("m", "c", parent="a"),
    ]
    found = [(d.record.name, d.branch) for d in lineage(records)]
    assert sorted(found) == [("a", ""), ("b", ""), ("c", ""), ("self", "")]


def test_show_draws_the_curves(family: Store) -> None:
    """In the terminal the recipe stands field by field, and curves are lines of blocks."""
    text = run(family, "ckpt", "show", "300-x-ft")
    width = text.index("  value") + 2
    fields = {line[:width].strip(): line[width:] for line in text.splitlines()[2:]}
    assert fields["lr"] == "0.001"
    assert fields["parent"] == "300"
    assert fields["recipe: mode"] == "ft"
    assert fields["recipe: step"] == "20"
    assert fields["recipe: classes"] == "[cat, dog]"
    assert fields["training loss"] == "2.000 █▃▁ 0.500"
    assert fields["held-out accuracy"] == "0.500 ▁█ 0.750"


def test_show_gives_programs_the_points(family: Store) -> None:
    """With --json the curves are lists of points, and the recipe is JSON without them."""
    (row,) = json.loads(run(family, "ckpt", "show", "300-x-ft", "--json"))
    assert row["loss_curve"] == [[10, 2.0], [20, 1.0], [30, 0.5]]
    assert row["held_out_curve"] == [[15, 0.5], [30, 0.75]]
    kept = {k: v for k, v in TRAINED.items() if k not in {"curve", "validation"}}
    assert json.loads(row["recipe"]) == kept
    (row,) = json.loads(run(family, "ckpt", "show", "net/5", "--json"))
    assert (row["loss_curve"], row["held_out_curve"], row["recipe"]) == ([], [], "{}")


def test_sparklines() -> None:
    """A line goes from low to high blocks; long ones are averaged; a flat or empty one is fine."""
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([0.0, 0.0, 7.0, 7.0], width=2) == "▁█"
    assert sparkline([3.0, 3.0]) == "▁▁"
    assert sparkline([]) == ""
    assert len(sparkline(list(map(float, range(1000))))) == 40


def trained(name: str, iteration: int, **changes: Any) -> CheckpointRecord:  # noqa: ANN401
    """Make the record of a checkpoint that was trained here."""
    return CheckpointRecord("n", name, iteration, recipe=json.dumps({**TRAINED, **changes}))


def test_the_last_of_each_run_is_drawn() -> None:
    """Snapshots of one run count once, by the last; what was not trained here is left out."""
    records = [
        trained("a-10", 10, held_out_accuracy=0.5),
        trained("a", 30),
        trained("b", 20, mode="fc-ft"),
        CheckpointRecord("n", "imported"),
    ]
    assert [r.name for r in longest_runs(records)] == ["a", "b"]


def test_rows_of_curves_are_what_was_kept() -> None:
    """Points come with network, name, curve; numbers that are none are left out."""
    record = trained("a", 30, validation=[[15, float("nan")], [30, 0.25]])
    rows = [(r["curve"], r["iteration"], r["value"]) for r in curve_rows(record)]
    assert rows == [("loss", 10, 2), ("loss", 20, 1), ("loss", 30, 0.5), ("accuracy", 30, 0.25)]
    several = trained("b", 30, held_out_mean_ap=0.5)
    assert {r["curve"] for r in curve_rows(several)} == {"loss", "mean AP"}
    assert "curve" not in recipe_of(record)


@pytest.mark.parametrize("log", [False, True])
def test_curves_are_drawn(log: bool) -> None:
    """A panel for the loss and one for each measure; a line a checkpoint, in percent."""
    rows = [*curve_rows(trained("a", 30)), *curve_rows(trained("b", 30, held_out_mean_ap=0.5))]
    chart = plot_curves(rows, log=log, title="T")
    loss, accuracy, mean_ap = chart.hconcat  # type: ignore[attr-defined]
    assert [titles(panel, "y") for panel in (loss, accuracy, mean_ap)] == [
        {"Loss on training batches (nats)"},
        {"Held-out accuracy (percent)"},
        {"Held-out mean AP (percent)"},
    ]
    assert [[p["y"] for p in points(loss, line=name)] for name in "ab"] == [[2, 1, 0.5]] * 2
    assert [p["label"] for p in points(loss) if p.get("label")] == ["a", "b"]
    assert channels(loss, "y")[0]["scale"]["type"] == ("log" if log else "linear")
    assert [[p["y"] for p in points(accuracy, line=name)] for name in "ab"] == [[50, 75], []]


def test_many_curves_are_told_apart() -> None:
    """Nine checkpoints have nine pairs of colour and stroke or symbol, and a legend."""
    rows = [row for i in range(9) for row in curve_rows(trained(f"c{i}", 30 + i))]
    loss = plot_curves(rows).hconcat[0]  # type: ignore[attr-defined]
    looks = [channels(loss, kind)[0]["scale"]["range"] for kind in ("color", "strokeDash")]
    assert len({(colour, *dash) for colour, dash in zip(*looks, strict=True)}) == 9
    assert channels(loss, "color")[0]["legend"] is not None
