"""``fstore schedule`` and ``fstore runs`` as they are typed."""

import csv
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from _cli import run
from fstore.cli import app
from fstore.queries.schedule.log import ScheduledJob, alone
from fstore.store import Store, locks


def history(store: Store) -> list[dict[str, object]]:
    """Return what ``fstore runs --kind schedule --json`` lists."""
    rows: list[dict[str, object]] = json.loads(
        run(store, "runs", "--kind", "schedule", "--json").stdout
    )
    return rows


def test_once(ready: Store, tmp_path: Path) -> None:
    """``--once`` refreshes, tells of the change, and is on record; a second run has no change."""
    told = tmp_path / "told.json"
    words = ["schedule", "--once", "--report", "table6", "--on-change", f"cp /dev/stdin {told}"]
    done = run(ready, *words)
    assert (done.exit_code, done.stdout) == (0, ""), done.stderr
    assert "table6: computed 2, reused 0" in done.stderr
    assert json.loads(told.read_text())["changed"] == {"table6": 2}
    told.unlink()
    assert run(ready, *words).exit_code == 0
    assert not told.exists()
    rows = history(ready)
    assert [(r["status"], r["computed"], r["reused"], r["changed"]) for r in rows] == [
        ("ok", 0, 2, 0),
        ("ok", 2, 0, 2),
    ]


def test_once_that_fails(ready: Store, tmp_path: Path) -> None:
    """A run that fails exits with 1 and the reason, also with --quiet, and calls its hook."""
    hook, told = tmp_path / "hook", tmp_path / "told"
    hook.write_text(f'#!/bin/sh\necho "$FSTORE_EXIT_STATUS $FSTORE_STUDY" > {told}\n')
    hook.chmod(0o755)
    for file in ready.files(layer="fc"):
        Path(file.uri).unlink()
    words = ["schedule", "--once", "--report", "table6", "--retries", "0"]
    done = CliRunner().invoke(
        app, ["--store", str(ready.path), "--quiet", *words, "--on-failure", str(hook)]
    )
    assert done.exit_code == 1
    assert done.stderr.startswith("error: the run failed: table6:")
    assert "computed" not in done.stderr
    assert told.read_text() == "1 small\n"
    (row,) = history(ready)
    assert (row["status"], row["failed"]) == ("failed", 1)


def test_page(ready: Store, tmp_path: Path) -> None:
    """With --page each run writes the page; a folder of something else is refused at the start."""
    page, other = tmp_path / "page", tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").touch()
    words = ["schedule", "--once", "--report", "table6", "--page"]
    for _ in range(2):
        assert run(ready, *words, str(page)).exit_code == 0
        assert "Sparsity by layer" in (page / "index.html").read_text()
        (page / "index.html").write_text("old")
    assert run(ready, *words, str(other)).exit_code == 1
    assert [row["status"] for row in history(ready)] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        ([], 2, "one of --cron and --once"),
        (["--cron", "0 3 * * *", "--once"], 2, "one of --cron and --once"),
        (["--cron", "0 3 * *"], 1, "4 fields, not 5"),
        (["--cron", "0 3 * * *", "--timezone", "Mars"], 1, "no time zone 'Mars'"),
        (["--once", "--report", "table66"], 1, "no report 'table66'"),
        (["--once", "--study", "none"], 1, "no study 'none'"),
        (["--once", "--on-change", "no-such-program"], 1, "no program 'no-such-program'"),
        (["--once", "--webhook", "ftp://x"], 1, "expected http"),
        (["--once", "--retries", "-1"], 2, "--retries"),
    ],
)
def test_mistakes_are_found_at_once(ready: Store, words: list[str], status: int, why: str) -> None:
    """What could not work at night is refused when it is typed, and leaves no run behind."""
    done = run(ready, "schedule", *words)
    assert done.exit_code == status
    assert why in done.stderr
    assert history(ready) == []


def test_a_webhook_of_the_environment(ready: Store) -> None:
    """The address may come from $FSTORE_WEBHOOK, which no list of processes shows."""
    words = ["--store", str(ready.path), "schedule", "--once", "--report", "table6"]
    address = "http://127.0.0.1:1/?key=secret"
    done = CliRunner().invoke(app, words, env={"FSTORE_WEBHOOK": address})
    assert "webhook at 127.0.0.1: Connection refused" in done.stderr
    assert "secret" not in done.output


def test_at_work_elsewhere(ready: Store) -> None:
    """While another process does the same, --once exits with 1 and says so."""
    with alone(ready, ScheduledJob(study="small")):
        done = run(ready, "schedule", "--once")
    assert done.exit_code == 1
    assert "another process is at work on the same reports of study 'small'" in done.stderr


@pytest.mark.slow
def test_a_signal_ends_the_wait_for_a_report(ready: Store) -> None:
    """A run that waits for a report of another process says so once and ends, with status 143."""
    command = [sys.executable, "-m", "fstore", "--store", str(ready.path), "schedule"]
    with (
        locks.alone(ready.path / "locks" / "small.table6.lock"),
        subprocess.Popen(
            [*command, "--once", "--report", "table6"], stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stderr is not None
        assert "table6: another process is computing it" in process.stderr.readline()
        time.sleep(2.5)  # two more looks at the lock
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 143
        assert "waiting" not in process.stderr.read()
    assert [row["status"] for row in history(ready)] == ["interrupted"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_schedule(ready: Store, stop: signal.Signals) -> None:
    """A schedule that waits ends within a second, with the signal's status; what it ran is kept."""
    command = [sys.executable, "-m", "fstore", "--store", str(ready.path), "schedule"]
    words = ["--cron", "0 0 1 1 *", "--timezone", "UTC", "--report", "table6"]
    with subprocess.Popen([*command, *words], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines: list[str] = []
        while not any("next run at" in line for line in lines):
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        process.send_signal(stop)
        sent = time.monotonic()
        assert process.wait(timeout=30) == 128 + stop
        assert time.monotonic() - sent < 2  # one, on an idle machine
    assert "running now" in lines[0]
    assert [row["status"] for row in history(ready)] == ["ok"]


def test_runs(ready: Store) -> None:
    """Runs are listed as JSON and CSV with the same keys, the latest first, as many as asked."""
    for _ in range(3):
        run(ready, "schedule", "--once", "--report", "table6")
    rows = json.loads(run(ready, "runs", "--json").stdout)
    assert len(rows) == 3
    assert rows == sorted(rows, key=lambda r: r["started"], reverse=True)
    table = list(csv.DictReader(io.StringIO(run(ready, "runs", "--last", "2", "--csv").stdout)))
    assert [r["started"] for r in table] == [r["started"] for r in rows[:2]]
    assert list(table[0]) == list(rows[0])
    assert run(ready, "runs", "--kind", "extract", "--json").stdout == "[]\n"
