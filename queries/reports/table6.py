"""Table 6: how sparse each layer's responses are."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fstore.errors import SchemaError
from fstore.queries.cells.needs import Cell, Need, Reading, Row, Samples, report
from fstore.queries.figures.plots import new_axes
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fstore.store import Store
    from fstore.store.files import StoredFile

__all__ = ["plot_table6", "sparsity_sql", "table6"]

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

    It reads each sample's ``nnz``, loaded from the footers of the files, never ``map``. Rows:
    layer, value, std, n, and the number of samples that the footers know.
    """
    from fstore.store.totals import totals_sql

    parts = " OR ".join('(dataset, "view", split, seed, part) = (?, ?, ?, ?, ?)' for _ in samples)
    statement = f"""
        WITH totals AS MATERIALIZED ({totals_sql(files)}),
        wanted AS (SELECT dataset, "view", sample_id FROM splits WHERE {parts}),
        percents AS (
            SELECT layer, 100 * nnz / (channels * height * width) AS percent
            FROM totals JOIN layers USING (network, layer)
            JOIN wanted USING (dataset, "view", sample_id)
        )
        SELECT layer, avg(percent) AS value, stddev_samp(percent) AS std, count(*) AS n,
               (SELECT count(*) FROM totals) AS known
        FROM percents GROUP BY layer
    """
    sets = [(s.dataset, s.view, s.split, s.seed, s.part) for s in samples]
    return statement, [value for row in sets for value in row]


def plot_table6(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the percent of non-zero responses by layer, the paper's numbers as marks.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    ax = new_axes(ax)
    heights, spread = ([float(row[c] or 0) for row in rows] for c in ("value", "std"))
    counts = sorted({int(row["n"] or 0) for row in rows})
    n = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    bars = ax.bar(range(len(rows)), heights, yerr=spread, label=f"this study, n = {n} images")
    handles: list[Any] = [bars]
    there = [(i + 0.25, row["paper"]) for i, row in enumerate(rows) if row["paper"] is not None]
    if there:  # beside the error bars, white, so that both are seen on grey
        x, y = zip(*there, strict=True)
        handles += ax.plot(x, y, "D", color="black", markerfacecolor="white", label="the paper")
    ax.set_xticks(range(len(rows)), [str(row["row"]) for row in rows])
    ax.set_ylim(bottom=0)
    ax.set_xlabel("Layer")
    ax.set_ylabel("Non-zero responses (percent)")
    title = "bars: mean ± 1 standard deviation over images"
    above: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1)}
    ax.legend(handles=handles, title=title, ncols=len(handles), **above)
    return ax


@report(
    "table6",
    title="Sparsity by layer",
    on="classification",
    answers="What percentage of the filter responses is not zero?",
    paper="table6.csv",
    columns=(COLUMN,),
    needs=needs,
    plot=plot_table6,
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
    stored, known = sum(file.n_samples for file in files), rows[0]["known"] if rows else 0
    if known != stored:
        raise SchemaError(
            f"the footers of {files[0].partition} and its like count {known} samples of {stored}: "
            "an older fstore wrote them; replace each of them, as this one: "
            + how_to_replace(files[0].root, files[0].partition)
        )
    for row in rows:
        yield Cell(row["layer"], COLUMN, row["value"], row["std"], row["n"])
