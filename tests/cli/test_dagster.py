"""Dagster's view of a store: definitions load, and reports and extraction materialise."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from _studies import STUDY, make_study
from fstore.queries.refresh.driver import Brought
from fstore.queries.refresh.show import show_report
from fstore.queries.refresh.standing import State
from fstore.queries.reports import REPORTS
from fstore.queries.studies.study import parse_study, set_study
from fstore.store import Store
from fstore.workflows import add_dataset, init_checkpoint

pytest.importorskip("dagster", reason="not installed: pip install 'fstore[dagster]'")

import dagster as dg

from fstore.cli.dagster import (
    Place,
    activations,
    own_assets,
    partitions_of_the_store,
    reports,
)

DIGITS = """
name = "digits"
network = "caffenet-mini"
layers = ["conv5", "fc7"]
pretrained = "random"
[classification]
dataset = "digits"
"""


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep Dagster off the network."""
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "1")


@pytest.fixture
def small(tmp_path: Path) -> Store:
    """Return a store of responses whose study is set."""
    store = make_study(tmp_path / "store").store
    set_study(store, STUDY)
    return store


@pytest.fixture
def digits(tmp_path: Path) -> Store:
    """Return a store of images and a checkpoint, without responses."""
    store = Store.create(tmp_path / "store")
    add_dataset(store, "digits", "digits")
    init_checkpoint(store, network="caffenet-mini", name="random", seed=0)
    set_study(store, DIGITS)
    return store


def materialise(
    store: Store,
    *assets: dg.AssetsDefinition,
    partition_key: str | None = None,
    instance: dg.DagsterInstance | None = None,
) -> dg.ExecuteInProcessResult:
    """Materialise assets in this process."""
    place = {"place": Place(store=str(store.path), device="cpu")}
    return dg.materialize(assets, resources=place, partition_key=partition_key, instance=instance)


def asset(name: str) -> dg.AssetsDefinition:
    """Return the asset of a report."""
    (found,) = [a for a in reports if a.key == dg.AssetKey(name)]
    return found


def metadata(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    """Return what an asset's materialisation says."""
    (event,) = result.asset_materializations_for_node(name)
    return {key: value.value for key, value in event.metadata.items()}


def test_every_report_is_an_asset() -> None:
    """Each report is an asset below ``activations``, and in the scheduled job."""
    from fstore.cli.dagster import defs

    names = {entry.name for entry in REPORTS}
    graph = defs.resolve_asset_graph()
    for name in names:
        assert graph.get(dg.AssetKey(name)).parent_keys == {dg.AssetKey("activations")}
    repository = defs.get_repository_def()
    schedule = repository.get_schedule_def("refresh_reports")
    assert schedule.cron_schedule == "0 3 * * *"
    job = repository.get_job(schedule.job_name)
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == names


def test_dagster_loads_the_module(tmp_path: Path) -> None:
    """`dagster definitions validate -m fstore.cli.dagster` finds nothing wrong, without a store."""
    command = [sys.executable, "-m", "dagster", "definitions", "validate"]
    done = subprocess.run(
        [*command, "-m", "fstore.cli.dagster"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Validation successful for code location fstore.cli.dagster" in done.stdout + done.stderr


def test_a_report_materialises(small: Store) -> None:
    """A report computes its cells once; its metadata are those of ``report show``."""
    first = metadata(materialise(small, asset("table6")), "table6")
    assert (first["computed"], first["reused"], first["rows"]) == (2, 0, 2)
    again = metadata(materialise(small, asset("table6")), "table6")
    assert (again["computed"], again["reused"]) == (0, 2)
    rows = show_report(small, parse_study(STUDY), "table6").rows
    lines = again["values"].splitlines()
    assert lines[0] == "| row | col | value | std | n | paper |"
    for row, line in zip(rows, lines[2:], strict=True):
        cells = line.strip("| ").split(" | ")
        assert cells[:3] == [row["row"], row["col"], f"{row['value']:.6g}"]


def test_own_reports_materialise(small: Store, tmp_path: Path) -> None:
    """A report that the study states itself is an asset; what it expects fails its run."""
    own = """
[[report]]
name = "own"
title = "Rows"
sql = "SELECT layer, count(*) AS n FROM activations WHERE ckpt = $ckpt GROUP BY layer"
expect = ["n > 0"]
"""
    set_study(small, STUDY + own)
    place = Place(store=str(small.path))
    assert metadata(materialise(small, *own_assets(place)), "own")["computed"] == 2
    set_study(small, STUDY + own.replace("n > 0", "n < 0"))
    (failing,) = own_assets(place)
    with pytest.raises(dg.Failure, match=r"cell 'ckpt=5k' of report 'own': expected n < 0"):
        list(cast("Iterator[object]", failing(dg.build_asset_context(), place)))
    assert own_assets(Place(store=str(tmp_path / "none"))) == []


def test_reports_materialise_together(small: Store) -> None:
    """Reports succeed in one run; one that the study binds no part of is left out, no failure."""
    names = ("table4", "table5", "table6")
    result = materialise(small, *map(asset, names))
    assert result.success
    there = {e.asset_key for e in result.get_asset_materialization_events()}
    # nothing of the study is fine-tuned from a sweep, as table4 has it
    assert there == {dg.AssetKey("table5"), dg.AssetKey("table6")}


def test_a_failing_report_fails(small: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report with an error is a failure for Dagster, with the reason."""
    from fstore.queries.refresh import driver

    def broken(*_: object, **__: object) -> Iterator[Brought]:
        yield Brought("table6", State.FAILED, error="no luck")

    monkeypatch.setattr(driver, "brought", broken)
    place = Place(store=str(small.path))
    with pytest.raises(dg.Failure, match="no luck"):
        list(cast("Iterator[object]", asset("table6")(dg.build_asset_context(), place)))


Requests = Sequence[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest]


def asked(store: Store, instance: dg.DagsterInstance) -> Requests:
    """Return the changes of partitions that the sensor asks for."""
    place = {"place": Place(store=str(store.path))}
    context = dg.build_sensor_context(instance=instance, resources=place)
    result = partitions_of_the_store(context)
    assert isinstance(result, dg.SensorResult)
    return result.dynamic_partitions_requests or ()


@pytest.mark.slow
def test_extraction_is_upstream(digits: Store, tmp_path: Path) -> None:
    """A partition extracts what the reports read of a checkpoint and data set, and only once."""
    instance = dg.DagsterInstance.ephemeral(tempdir=str(tmp_path))
    for request in asked(digits, instance):
        instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
    assert instance.get_dynamic_partitions("fstore_checkpoint") == ["caffenet-mini/random"]
    key = dg.MultiPartitionKey({"checkpoint": "caffenet-mini/random", "dataset": "digits"})
    assert not materialise(digits, asset("table6")).get_asset_materialization_events()
    counts = []
    for _ in range(2):
        result = materialise(digits, activations, partition_key=key, instance=instance)
        counts.append(metadata(result, "activations")["extracted"])
    assert counts == [digits.dataset("digits").counts["image"], 0]  # some report reads each part
    assert {row["layer"] for row in digits.status()} == {"conv5", "fc7"}
    assert metadata(materialise(digits, asset("table6")), "table6")["computed"] == 2


def test_partitions_follow_the_store(small: Store, tmp_path: Path) -> None:
    """The sensor adds new checkpoints and data sets, removes dropped ones, and then is quiet."""
    instance = dg.DagsterInstance.ephemeral(tempdir=str(tmp_path))
    instance.add_dynamic_partitions("fstore_checkpoint", ["net/gone"])
    found = [(type(r), list(r.partition_keys)) for r in asked(small, instance)]
    assert found == [
        (dg.AddDynamicPartitionsRequest, ["net/15k", "net/5k"]),
        (dg.DeleteDynamicPartitionsRequest, ["net/gone"]),
        (dg.AddDynamicPartitionsRequest, ["d", "g", "s"]),
    ]
    instance.add_dynamic_partitions("fstore_checkpoint", ["net/5k", "net/15k"])
    instance.delete_dynamic_partition("fstore_checkpoint", "net/gone")
    instance.add_dynamic_partitions("fstore_dataset", ["d", "g", "s"])
    assert asked(small, instance) == ()


def test_the_program_does_not_load_dagster() -> None:
    """`fstore --help` imports neither Dagster nor cronsim."""
    code = "import fstore.cli, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"dagster", "cronsim", "fstore.cli.dagster"} & set(done.stdout.split())
