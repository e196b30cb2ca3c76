"""How many filters fire at all, layer by layer."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import Cell, Need, Reading
from fstore.queries.cells.registry import report
from fstore.queries.samples.labels import Samples
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from fstore.store import Store

COLUMN = "fires_percent"


def needs(_store: "Store", study: Study) -> list[Need]:
    """Return one cell a layer, over the test part of the first data set of ``classification``."""
    bound = study.bound("classification")[0]
    samples = Samples(bound.dataset, "image", bound.split, bound.seeds[0], "test")
    ckpt = study.checkpoint("pretrained")
    return [
        Need(layer, COLUMN, (Reading(study.network, ckpt, layer, samples),), labels=False)
        for layer in study.layers
    ]


@report(
    "firing_filters",
    title="Filters that fire",
    answers="How many filters respond to any of the images?",
    on="classification",
    columns=(COLUMN,),
    needs=needs,
)
def firing_filters(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the percentage of a layer's filters that fire for one of the samples at least."""
    statement = """
        SELECT 100 * avg((largest > 0)::INT) AS percent, count(*) AS filters FROM (
            SELECT max(act_max) AS largest
            FROM activations JOIN splits USING (dataset, "view", sample_id)
            WHERE network = ? AND ckpt = ? AND layer = ?
              AND dataset = ? AND "view" = ? AND split = ? AND seed = ? AND part = ?
            GROUP BY channel)
    """
    for need in needs:
        (read,) = need.readings
        of = read.samples
        responses = (read.network, read.ckpt, read.layer)
        part = (of.dataset, of.view, of.split, of.seed, of.part)
        (row,) = store.sql(statement, [*responses, *part]).rows()
        yield need, [Cell(need.row, need.col, row["percent"], n=row["filters"])]
