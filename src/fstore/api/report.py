"""``store.report``: a table or a figure of a study, with the paper's numbers beside ours."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fstore.api.rows import Rows
from fstore.queries.cells.needs import BESIDE, ROW_COLUMNS
from fstore.queries.publish.paper_tables import dressed, table_grid, table_text
from fstore.queries.publish.titles import report_title
from fstore.queries.refresh.show import illustrated, show_report
from fstore.queries.reports import report_of
from fstore.queries.studies.study import Study, load_study
from fstore.showing import table_html

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Report", "report"]


class Report(Rows):
    """A report's cells: a list of rows, shown as the paper's table.

    Attributes
    ----------
    name, title : str
    missing : list of str
        Which cells are not there, and why.
    """

    def __init__(
        self, rows: Sequence[Mapping[str, Any]], *, store: "Store", study: Study, name: str
    ) -> None:
        super().__init__(
            rows,
            columns=ROW_COLUMNS,
            draw=report_of(study, name).meta["plot"],
            what=f"report '{name}'",
            heading=report_title(name, study),
        )
        self.name = name
        self.missing: list[str] = []
        self._store = store
        self._study = study
        self._dress = dressed(study, name)
        self.title = str(self._dress["title"])

    def markdown(self) -> str:
        """Return the table in Markdown: values, the spread, the paper's number in brackets."""
        return table_text(self._of_paper(), "md", **self._dress)

    def _of_paper(self) -> list[dict[str, Any]]:
        """Return the rows that are in the paper's own columns."""
        return [row for row in self if BESIDE not in row["col"]]

    def _to_draw(self) -> Sequence[Mapping[str, Any]]:
        return illustrated(self._store, self._study, self.name, rows=self)

    def __repr__(self) -> str:
        return f"{self.title}\n{super().__repr__()}"

    def _repr_html_(self) -> str:
        if not self._is_table:
            return table_html((), (), title=self.title) + super()._repr_html_()
        grid = table_grid(
            self._of_paper(), word=self._dress["word"], spread=str(self._dress["spread"])
        )
        note = "; ".join(filter(None, [grid.note, *self.missing]))
        return table_html(grid.header, grid.lines, title=self.title, note=note)

    @property
    def _is_table(self) -> bool:
        meta = report_of(self._study, self.name).meta
        return bool(self._of_paper()) and bool(meta["paper"] or meta["columns"])


def report(store: "Store", name: str, *, study: str | None = None, quiet: bool = False) -> Report:
    """Return a report, computing and storing what is stale; see :meth:`fstore.Store.report`."""
    from fstore.api.progress import shown

    current = load_study(store, study)
    with shown(quiet=quiet) as update:
        done = show_report(store, current, name, on_progress=update)
    made = Report(done.rows, store=store, study=current, name=name)
    made.missing = [str(missing) for missing in done.missing]
    return made
