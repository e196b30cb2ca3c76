"""Reports that a study file states itself: a statement in SQL, or a function in a file."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import field

from fstore.errors import DataError
from fstore.toml_file import Table, Text, Texts

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["OwnChart", "OwnReport", "agree_to_code", "check_own"]

Kind = Literal["bar", "line", "heatmap", "scatter"]

NAME = re.compile(r"[a-z][a-z0-9_]*")
LONGEST_NAME = 60


class OwnChart(Table, frozen=True):
    """How a report is drawn: columns of its result, or parameters, along x and y and in colour."""

    kind: Kind
    x: Text
    y: Text
    color: Text | None = None


class OwnReport(Table, frozen=True, kw_only=True):
    """One entry ``[[report]]`` of a study file.

    Attributes
    ----------
    name, title : str
        What it is called, and what stands above it.
    sql : str or None
        A statement that only reads; ``$layer`` stands for a parameter.
    sql_file : str or None
        A file with the statement; ``study set`` puts its text in this place.
    python : str or None
        ``FILE.py:FUNCTION``, called with a store and the parameters.
    needs : tuple of str
        What the function may read: ``FROM activations WHERE layer = $layer``.
    params : dict
        Parameter to the name of a list of the study, or to a list of values.
    rows : tuple of str
        Columns that name a row; empty: texts, and what the store calls a row by.
    unit : str
        Of the numbers.
    chart : OwnChart or None
    expect : tuple of str
        Conditions in SQL that every row meets; ``rows`` is their number.
    answers : str
        The question that it answers.
    """

    name: Text
    title: Text
    sql: Text | None = None
    sql_file: Text | None = None
    python: Text | None = None
    needs: Texts = ()
    params: dict[str, Text | Texts] = field(default_factory=dict)
    rows: Texts = ()
    unit: str = ""
    chart: OwnChart | None = None
    expect: Texts = ()
    answers: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.title}"

    @property
    def statements(self) -> tuple[str, ...]:
        """What it reads, as statements."""
        return self.needs if self.sql is None else (self.sql,)


def check_own(reports: Sequence[OwnReport], source: str) -> None:
    """Refuse reports that cannot be told apart, or do not say what they are computed by.

    Parameters
    ----------
    reports : sequence of OwnReport
    source : str
        Name of the file, for messages.

    Raises
    ------
    DataError
    """
    seen: set[str] = set()
    for i, own in enumerate(reports):
        where = f"{source}: report[{i}]"
        if not NAME.fullmatch(own.name) or len(own.name) > LONGEST_NAME:
            raise DataError(
                f"{where}: name = '{own.name}' must be small letters, digits and _, a letter "
                f"first, {LONGEST_NAME} at most"
            )
        if own.name in seen:
            raise DataError(f"{where}: report '{own.name}' is there twice; give each its own name")
        seen.add(own.name)
        _check_one(own, f"{source}: report '{own.name}'")


def _check_one(own: OwnReport, where: str) -> None:
    given = [key for key in ("sql", "sql_file", "python") if getattr(own, key) is not None]
    if len(given) != 1:
        raise DataError(f"{where} has {' and '.join(given) or 'no sql'}; give one of sql, "
                        "sql_file and python")  # fmt: skip
    if given == ["python"]:
        if not re.fullmatch(r".+\.py:[A-Za-z_]\w*", str(own.python)):
            raise DataError(f"{where}: python = '{own.python}' must be FILE.py:FUNCTION")
        if not own.needs:
            raise DataError(
                f"{where}: a function must say what it reads, or nobody knows when it is stale; "
                'add needs = ["FROM activations WHERE layer = $layer AND ckpt = $ckpt"]'
            )
    elif own.needs:
        raise DataError(f"{where}: needs goes with python only; a statement says what it reads")


def agree_to_code(store: "Store", reports: Sequence[OwnReport]) -> None:
    """Note that the user gave a study file, and agrees to run the functions that it names.

    Parameters
    ----------
    store : Store
    reports : sequence of OwnReport
        Of the file.
    """
    from fstore.trust import consent

    for own in reports:
        if own.python is not None:
            consent(store.trusted, own.python)
