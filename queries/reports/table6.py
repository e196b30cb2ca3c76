"""Table 6: how sparse each layer's responses are."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fstore.errors import SchemaError
from fstore.queries.cells.needs import Cell, Need, Reading
from fstore.queries.cells.registry import report
from fstore.queries.figures.table6 import plot_table6
from fstore.queries.studies.study import Study
from fstore.store.parts import Samples

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.store.files import StoredFile

__all__ = ["sparsity_sql", "table6"]

COLUMN = "nonzero_percent"


def needs(_store: "Store", study: Study) -> list[Need]:
    """Return one cell a layer: whole images, test part, pre-trained checkpoint.

    Of several random splits it is the first seed's: the paper gives a spread over samples.
    """
    ckpt, bounds = study.checkpoint("pretrained"), study.bound("classification")
    tested = [b for b in bounds if b.uses("test")]
    samples = [Samples(b.dataset, "image", b.split, b.seeds[0], "test") for b in tested]
    return [
        Need(
            layer,
            COLUMN,
            tuple(Reading(study.network, ckpt, layer, s) for s in samples),
            labels=False,
        )
        for layer in study.layers
    ]


def sparsity_sql(
    files: "Sequence[StoredFile]", samples: Sequence[Samples]
) -> tuple[str, list[object]]:
    """Return the statement and its parameters: mean, deviation and n of the percent non-zero.

    It reads each sample's ``nnz``, loaded from the footers of the files, never ``map``. Sums go in
    the order of the samples: threads of DuckDB would change the last bit from run to run. Rows:
    layer, value, std, n, and the number of samples that the footers know.
    """
    from fstore.store.totals import totals_sql

    parts = " OR ".join('(dataset, "view", split, seed, part) = (?, ?, ?, ?, ?)' for _ in samples)
    statement = f"""
        WITH totals AS MATERIALIZED ({totals_sql(files)}),
        wanted AS (SELECT dataset, "view", sample_id FROM splits WHERE {parts}),
        percents AS (
            SELECT layer, 100 * nnz / (channels * height * width) AS percent,
                   (dataset, "view", sample_id) AS of_sample
            FROM totals JOIN layers USING (network, layer)
            JOIN wanted USING (dataset, "view", sample_id)
        )
        SELECT layer, avg(percent ORDER BY of_sample) AS value,
               stddev_samp(percent ORDER BY of_sample) AS std, count(*) AS n,
               (SELECT count(*) FROM totals) AS known
        FROM percents GROUP BY layer
    """
    sets = [(s.dataset, s.view, s.split, s.seed, s.part) for s in samples]
    return statement, [value for row in sets for value in row]


@report(
    "table6",
    title="Sparsity by layer",
    on="classification",
    answers="What percentage of the filter responses is not zero?",
    paper="table6.csv",
    columns=(COLUMN,),
    needs=needs,
    plot=plot_table6,
    negative="they are not 0, so they count; --rectify stores what the paper counts",
    together=True,
)
def table6(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the percent of non-zero responses by layer: mean and deviation over samples.

    A sample's percentage is over all values of the layer. The deviation is that of a sample
    (n - 1). Source: the paper's Table 6.
    """
    together: dict[Any, dict[str, Need]] = defaultdict(dict)
    for need in needs:
        first = need.readings[0]
        samples = tuple(reading.samples for reading in need.readings)
        together[first.network, first.ckpt, samples][first.layer] = need
    for (network, ckpt, samples), layers in together.items():
        views = {(s.dataset, s.view) for s in samples}
        files = [
            file
            for file in store.files(network=network, ckpt=ckpt)
            if file.partition.layer in layers
            and (file.partition.dataset, file.partition.view) in views
        ]
        for cell in _cells(store, files, samples):
            yield layers[cell.row], [cell]


def _cells(
    store: "Store", files: "Sequence[StoredFile]", samples: Sequence[Samples]
) -> Iterator[Cell]:
    from fstore.store.remedies import how_to_replace

    store.load_totals(files)
    statement, parameters = sparsity_sql(files, samples)
    rows = list(store.sql(statement, parameters).rows())
    stored, told = sum(file.n_samples for file in files), rows[0]["known"] if rows else 0
    if told != stored:
        raise SchemaError(
            f"the footers of {files[0].partition} and its like count {told} samples of {stored}: "
            "an older fstore wrote them; replace each of them, as this one: "
            + how_to_replace(files[0].place, files[0].partition, rectify=files[0].is_rectified)
        )
    for row in rows:
        yield Cell(row["layer"], COLUMN, row["value"], row["std"], row["n"])
