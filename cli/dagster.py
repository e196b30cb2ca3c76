"""``dagster dev -m fstore.cli.dagster``: reports and extraction as Dagster's assets (extra).

Not part of the ``fstore`` program, which neither imports this module nor needs Dagster. Store,
study and device are those of ``$FSTORE_STORE``, ``$FSTORE_STUDY`` (the study set last) and
``$FSTORE_DEVICE``; the schedule is that of ``$FSTORE_CRON`` and ``$FSTORE_TIMEZONE``. Of the
store only the study is read before something runs: it may state reports of its own.
See ``docs/schedule.md``.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fstore import commands
from fstore.errors import FstoreError, MissingExtraError
from fstore.queries.reports import REPORTS

try:
    import dagster as dg
except ImportError as error:
    raise MissingExtraError("dagster is not installed: pip install 'fstore[dagster]'") from error

if TYPE_CHECKING:
    from fstore.queries.refresh.driver import Brought
    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__ = ["Place", "defs", "own_assets"]

CHECKPOINTS = dg.DynamicPartitionsDefinition(name="fstore_checkpoint")
DATASETS = dg.DynamicPartitionsDefinition(name="fstore_dataset")

ROWS_SHOWN = 100
RETRIES = dg.RetryPolicy(max_retries=3, delay=60, backoff=dg.Backoff.EXPONENTIAL)


class Place(dg.ConfigurableResource):  # type: ignore[type-arg]
    """A store, by its place; a study that was set in it, empty for the one set last; a device."""

    store: str = "fstore-store"
    study: str = ""
    device: str = "auto"

    def open(self) -> "Store":
        """Open the store."""
        from fstore.store import Store

        return Store.open(self.store)

    def load(self) -> "tuple[Store, Study]":
        """Open the store and read the study."""
        from fstore.queries.studies.study import load_study

        store = self.open()
        return store, load_study(store, self.study or None)


# Extraction: a partition is a checkpoint, as NETWORK/NAME, and a data set


@dg.asset(
    partitions_def=dg.MultiPartitionsDefinition({"checkpoint": CHECKPOINTS, "dataset": DATASETS}),
    group_name="extraction",
    retry_policy=RETRIES,
)
def activations(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult[None]:
    """Responses of a checkpoint to a data set, as far as the study's reports read them.

    What is stored is not extracted again.
    """
    key = context.partition_key
    if not isinstance(key, dg.MultiPartitionKey):
        raise TypeError(f"{key} is no partition of checkpoint and data set")
    ckpt, dataset = (key.keys_by_dimension[name] for name in ("checkpoint", "dataset"))
    store, study = place.load()
    samples = _extract(store, study, ckpt, dataset=dataset, device=place.device)
    parts = [
        row
        for row in store.status()
        if (f"{row['network']}/{row['ckpt']}", row["dataset"]) == (ckpt, dataset)
    ]
    return dg.MaterializeResult(
        metadata={
            "extracted": samples,
            "rows": sum(row["rows"] for row in parts),
            "bytes": sum(row["bytes"] for row in parts),
            "partitions": _table(parts, ("view", "layer", "samples", "rows", "bytes")),
        }
    )


def _extract(store: "Store", study: "Study", ckpt: str, *, dataset: str, device: str) -> int:
    """Extract what reports lack of a checkpoint and a data set; return the number of samples."""
    from fstore.queries.refresh.extractions import missing_extractions, study_needs
    from fstore.workflows.extract.run import ExtractionOptions, extract

    needs, _ = study_needs(store, study)
    missing = missing_extractions(
        store, (need for own in needs.values() for need in own), layers=study.layers
    )
    mine = [m for m in missing if m.dataset == dataset and ckpt in m.ckpts]
    return sum(
        extract(
            store,
            layers=each.layers,
            ckpts=[ckpt],
            datasets=[dataset],
            views=[each.view],
            part=each.part,
            options=ExtractionOptions(device=device),
        ).samples
        for each in mine
    )


@dg.sensor(
    name="partitions_of_the_store",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def partitions_of_the_store(context: dg.SensorEvaluationContext, place: Place) -> dg.SensorResult:
    """Make the store's checkpoints and data sets known as partitions; forget those dropped."""
    store = place.open()
    stored = (
        (CHECKPOINTS, [f"{record.network}/{record.name}" for record in store.checkpoints()]),
        (DATASETS, [info.name for info in store.datasets()]),
    )
    requests: list[dg.AddDynamicPartitionsRequest | dg.DeleteDynamicPartitionsRequest] = []
    for partitions, names in stored:
        registered = context.instance.get_dynamic_partitions(partitions.name or "")
        if new := [name for name in names if name not in registered]:
            requests.append(partitions.build_add_request(new))
        if gone := [name for name in registered if name not in names]:
            requests.append(partitions.build_delete_request(gone))
    return dg.SensorResult(dynamic_partitions_requests=requests)


# Reports


def _report(name: str, title: str, answers: str) -> dg.AssetsDefinition:
    """Return a report as an asset; where it has no cell, it is not materialised."""

    @dg.asset(
        name=name,
        group_name="reports",
        description=f"{title}. {answers}",
        deps=[activations],
        output_required=False,
        retry_policy=RETRIES,
    )
    def computed(
        context: dg.AssetExecutionContext, place: Place
    ) -> Iterator[dg.MaterializeResult[None]]:
        from fstore.queries.refresh.driver import brought

        store, study = place.load()
        (done,) = brought(store, study, [name])
        if done.state == "failed":
            raise dg.Failure(done.error)
        for missing in done.missing:
            context.log.warning(str(missing))
        if done.computed + done.reused:
            yield dg.MaterializeResult(metadata=_metadata(study, done))
        else:
            context.log.warning("%s: %s. %s", name, done.state, done.error)

    return computed


def _metadata(study: "Study", done: "Brought") -> dict[str, Any]:
    """Return what is shown of a report: its numbers, and how they came about."""
    return {
        "study": study.name,
        "rows": len(done.rows),
        "computed": done.computed,
        "reused": done.reused,
        "missing": len(done.missing),
        "values": _table(done.rows, ("row", "col", "value", "std", "n", "paper")),
    }


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dg.MarkdownMetadataValue:
    """Return rows as a table in Markdown, the first :data:`ROWS_SHOWN` of them."""
    lines = [columns, ["---"] * len(columns)]
    lines += [[_text(row[column]) for column in columns] for row in rows[:ROWS_SHOWN]]
    shown = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    more = len(rows) - ROWS_SHOWN
    return dg.MetadataValue.md(shown + (f"\n\nand {more} more rows" if more > 0 else ""))


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value).replace("|", "\\|")


def own_assets(place: Place) -> list[dg.AssetsDefinition]:
    """Return the reports that the study states itself; none where no study can be read.

    Parameters
    ----------
    place : Place
        A store and a study; another study needs Dagster to load this module again.
    """
    try:
        _, study = place.load()
    except FstoreError:
        return []
    return [_report(own.name, own.title, own.answers) for own in study.report]


def _absolute(store: str) -> str:
    """Return a store's place for processes in other folders: one elsewhere has no folder."""
    return store if "://" in store else str(Path(store).absolute())


PLACE = Place(
    store=_absolute(commands.default_place()),
    study=os.environ.get("FSTORE_STUDY") or "",
    device=os.environ.get("FSTORE_DEVICE") or "auto",
)

reports = [_report(e.name, e.meta["title"], e.meta["answers"]) for e in REPORTS]
reports += own_assets(PLACE)

refresh_reports = dg.ScheduleDefinition(
    name="refresh_reports",
    target=dg.AssetSelection.groups("reports"),
    cron_schedule=os.environ.get("FSTORE_CRON") or "0 3 * * *",
    execution_timezone=os.environ.get("FSTORE_TIMEZONE") or None,
)

defs = dg.Definitions(
    assets=[activations, *reports],
    schedules=[refresh_reports],
    sensors=[partitions_of_the_store],
    resources={"place": PLACE},
    executor=dg.in_process_executor,  # one report after the other: each uses all cores
)
"""What Dagster loads."""
