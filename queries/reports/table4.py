"""Table 4: what longer pre-training is worth when fine-tuning follows."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import Cell, Need
from fstore.queries.cells.registry import report
from fstore.queries.figures.tasks import task_plot
from fstore.queries.reports._tuned import task_cells, task_needs
from fstore.queries.studies.study import Study
from fstore.queries.studies.tasks import paper_task

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["table4"]


def needs(store: "Store", study: Study) -> list[Need]:
    """Return a cell for each task and checkpoint of the sweep that was fine-tuned."""
    return task_needs(store, study, {c: ("ft", c) for c in study.checkpoints("sweep")})


@report(
    "table4",
    title="Pre-training iterations, then fine-tuning",
    answers="Does pre-training for longer still pay when fine-tuning follows?",
    paper="table4.csv",
    paper_row=paper_task,
    needs=needs,
    plot=task_plot(ordered=True),
)
def table4(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the percentage that linear SVMs on the top layer reach, by task and parent.

    Columns are the checkpoints of the sweep that fine-tuning started from. As
    :func:`fstore.queries.reports.table1.table1`. Source: the paper's Table 4.
    """
    yield from task_cells(store, needs)
