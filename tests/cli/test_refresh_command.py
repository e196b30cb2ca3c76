"""``fstore report refresh``, ``diff`` and ``show --as-of``."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import typer

from _build import put
from _cli import run
from fstore.cli.times import parse_time
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.maintenance import Selection, drop


def change_fc(store: Store) -> None:
    """Put ones in the place of a layer's responses."""
    drop(store.place, Selection(layer="fc"))
    ones = np.ones((6, 4, 1), dtype=np.float32)
    put(store, Partition("net", "5", "d", "image", "fc"), ones, identity={"weights": "new"})


def test_refresh(ready: Store) -> None:
    """A row a report: the first time computed, then fresh; nothing on stderr."""
    done = run(ready, "report", "refresh", "table6", "--json")
    (row,) = json.loads(done.stdout)
    assert row.pop("seconds") > 0
    assert row == {
        "report": "table6",
        "state": "computed",
        "computed": 2,
        "reused": 0,
        "missing": 0,
        "error": "",
    }
    done = run(ready, "report", "refresh", "table6", "--csv")
    assert done.stdout.splitlines()[1].startswith("table6,fresh,0,2,")
    assert (done.exit_code, done.stderr) == (0, "")


def test_refresh_of_all(ready: Store) -> None:
    """Without names all reports have a row: one that fails, too (weights that are no file)."""
    done = run(ready, "report", "refresh", "--json")
    states = {row["report"]: row["state"] for row in json.loads(done.stdout)}
    expected = {"table6": "computed", "figure1": "left out", "figure2": "failed"}
    assert {name: states[name] for name in expected} == expected
    assert done.exit_code == 1


def test_left_out_is_no_failure(ready: Store) -> None:
    """A report that the study binds no part of says why, with status 0."""
    done = run(ready, "report", "refresh", "figure1", "--json")
    (row,) = json.loads(done.stdout)
    assert row["state"] == "left out"
    assert "says nothing of 'detection'" in row["error"]
    assert done.exit_code == 0


def test_dry_run(ready: Store) -> None:
    """--dry-run lists each stale cell and why, and computes nothing."""
    run(ready, "report", "refresh", "table6")
    change_fc(ready)
    done = run(ready, "report", "refresh", "table6", "--dry-run", "--json")
    (row,) = json.loads(done.stdout)
    assert (row["report"], row["state"], row["row"], row["col"]) == (
        "table6",
        "stale",
        "fc",
        "nonzero_percent",
    )
    assert row["why"] == "activations of net/5 d.image fc changed"
    assert ready.rows("reports").num_rows == 2
    run(ready, "report", "refresh", "table6")
    assert run(ready, "report", "refresh", "table6", "--dry-run", "--json").stdout == "[]\n"


def test_a_failing_report(ready: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that fails has its error in its row; the exit status is 1, the others are done."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr("fstore.queries.methods.retrieval.cosine_similarity", fail)
    done = run(ready, "report", "refresh", "retrieval", "table6", "--json")
    failed, good = json.loads(done.stdout)
    assert failed["state"] == "failed"
    assert "ZeroDivisionError: no such luck" in failed["error"]
    assert good["state"] == "computed"
    assert done.exit_code == 1


def test_what_is_missing(ready: Store) -> None:
    """Missing inputs are counted, and stderr has the command that makes them; status 0."""
    drop(ready.place, Selection(layer="fc"))
    done = run(ready, "report", "refresh", "table6", "--json")
    (row,) = json.loads(done.stdout)
    assert (row["state"], row["computed"], row["missing"]) == ("computed", 1, 1)
    assert "fstore extract --layer fc --ckpt net/5" in done.stderr
    assert done.exit_code == 0


def test_diff_and_as_of(ready: Store) -> None:
    """The diff has old and new value of the changed cell; --as-of shows the old table."""
    run(ready, "report", "refresh", "table6")
    old = run(ready, "report", "show", "table6", "--csv").stdout
    (time,) = ready.rows("refreshes")["finished_at"].to_pylist()
    change_fc(ready)
    run(ready, "report", "refresh", "table6")
    new = run(ready, "report", "show", "table6", "--csv").stdout
    assert new != old
    at = time.isoformat()
    assert run(ready, "report", "show", "table6", "--csv", "--as-of", at).stdout == old
    assert run(ready, "report", "show", "table6", "--csv", "--as-of", "0s").stdout == new
    for words in ([], ["table6"], ["--from", at], ["--from", at, "--to", "0s ago"]):
        done = run(ready, "report", "diff", *words, "--json")
        (row,) = json.loads(done.stdout)
        assert (row["report"], row["row"], row["new"]) == ("table6", "fc", 100)
        assert row["difference"] == pytest.approx(row["new"] - row["old"])
        assert done.stderr.startswith("study small, from ")
    assert run(ready, "report", "diff", "--from", "0s", "--json").stdout == "[]\n"


def test_as_of_computes_nothing(ready: Store) -> None:
    """A table of another time is not computed for the purpose."""
    done = run(ready, "report", "show", "table6", "--as-of", "1h")
    assert done.exit_code == 1
    assert "not refreshed before" in done.stderr
    assert ready.rows("reports").num_rows == 0


def test_no_picture_of_another_time(ready: Store, tmp_path: Path) -> None:
    """A plot whose pictures are of today is refused for another time; one of numbers is drawn."""
    run(ready, "report", "refresh", "table6")
    out = str(tmp_path / "x.png")
    done = run(ready, "report", "show", "figure2", "--as-of", "0s", "--plot", out)
    assert done.exit_code == 1
    assert "leave out --as-of" in done.stderr
    done = run(ready, "report", "show", "table6", "--as-of", "0s", "--plot", out)
    assert (done.exit_code, done.stdout) == (0, f"{out}\n")


def test_wrong_times(ready: Store) -> None:
    """What is no time, and an end without a start, are wrong usage."""
    for words in (["show", "table6", "--as-of", "yesterday"], ["diff", "--to", "1h"]):
        assert run(ready, "report", *words).exit_code == 2


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("5min", timedelta(minutes=5)),
        ("2h ago", timedelta(hours=2)),
        ("1.5d", timedelta(days=1.5)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_how_long_ago(text: str, ago: timedelta) -> None:
    """A number and a unit are that long ago, to the seconds that this test takes."""
    assert abs(datetime.now(UTC) - ago - parse_time(text)) < timedelta(seconds=30)


def test_iso_times() -> None:
    """A time with a zone is that; one without is local; year 0 is refused."""
    assert parse_time("2026-11-25T03:00+01:00") == datetime(2026, 11, 25, 2, tzinfo=UTC)
    assert parse_time("2026-11-25") == datetime(2026, 11, 25).astimezone()
    with pytest.raises(typer.BadParameter, match="'soon' is no time"):
        parse_time("soon")
    for long_ago in ("1000000d", "99999999999999d", "0001-01-01T00:00+14:00"):
        with pytest.raises(typer.BadParameter, match="is before the year 1"):
            parse_time(long_ago)
