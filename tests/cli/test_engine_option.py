"""``--engine`` and ``--address`` of the commands that compute reports."""

import pytest

from _cli import run
from fstore.store import Store

ANALYZE = ("analyze", "accuracy", "--layer", "fc", "--ckpt", "5", "--dataset", "d")
NOWHERE = "127.0.0.1:1"


@pytest.mark.parametrize(
    "words",
    [
        ("report", "refresh"),
        ("report", "refresh", "--dry-run"),
        ("schedule", "--once"),
        ("reproduce", "study.toml", "--no-page"),
        ANALYZE,
    ],
)
def test_an_address_is_of_a_cluster(
    ready: Store, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address without --engine ray is wrong usage, status 2, and nothing is computed."""
    monkeypatch.chdir(ready.path.parent)
    (ready.path.parent / "study.toml").write_text('name = "x"\nnetwork = "net"\nlayers = ["fc"]\n')
    done = run(ready, *words, "--address", NOWHERE)
    assert done.exit_code == 2, done.output
    assert "--address is for --engine ray" in done.stderr
    assert ready.rows("reports").num_rows == 0


def test_a_cluster_that_does_not_answer(ready: Store) -> None:
    """A refresh says so once, with status 1, and not of each report; the run is on record."""
    done = run(ready, "report", "refresh", "--engine", "ray", "--address", NOWHERE)
    assert done.exit_code == 1
    assert done.stderr.count(f"no Ray cluster answers at {NOWHERE}") == 1
    assert ready.rows("reports").num_rows == 0
    assert ready.rows("runs")["exit"].to_pylist() == ["failed"]


def test_a_dry_run_connects_to_nothing(ready: Store) -> None:
    """What is stale is listed without a cluster."""
    ray = ("--engine", "ray", "--address", NOWHERE)
    done = run(ready, "report", "refresh", "table6", "--dry-run", *ray, "--csv")
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 3)


def test_only_analyses_of_several_questions_are_spread(ready: Store) -> None:
    """An analysis that is one piece of work has no --engine; one that is swept over has it."""
    assert "--engine" in run(ready, "analyze", "accuracy", "--help").stdout
    assert "--engine" not in run(ready, "analyze", "classification", "--help").stdout
