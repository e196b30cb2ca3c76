"""Table 2: fine-tuning of every layer, and of the fully connected ones alone."""

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

__all__ = ["table2"]

COLUMNS = ("ft", "fc_ft")


def needs(store: "Store", study: Study) -> list[Need]:
    """Return a cell for each task and mode of fine-tuning, from the pre-trained checkpoint."""
    parent = study.checkpoint("pretrained")
    return task_needs(store, study, {"ft": ("ft", parent), "fc_ft": ("fc-ft", parent)})


@report(
    "table2",
    title="Fine-tuning all layers or the fully connected ones",
    answers="Is it enough to fine-tune the fully connected layers?",
    paper="table2.csv",
    paper_row=paper_task,
    columns=COLUMNS,
    needs=needs,
    plot=task_plot(COLUMNS),
)
def table2(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the percentage that linear SVMs on the top layer reach, by task and mode.

    As :func:`fstore.queries.reports.table1.table1`. Source: the paper's Table 2.
    """
    yield from task_cells(store, needs)
