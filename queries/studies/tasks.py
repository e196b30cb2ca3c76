"""What a study's tasks are called: by what is done and by its own data sets, never the paper's.

The rows of Tables 1, 2 and 4 are tasks. The paper's names stand beside the paper's numbers only.
"""

from collections.abc import Iterable

__all__ = [
    "PAPER",
    "QUANTITIES",
    "TASKS",
    "has_more_data",
    "paper_task",
    "role_of",
    "task_row",
    "with_less",
]

TASKS = {
    "scenes": "scene classification",
    "classification": "classification",
    "detection": "detection",
    "detection_more": "detection with more data",
}
"""Parts of a study that linear classifiers are tried on, and what is done there."""

QUANTITIES = {
    "scenes": "class-averaged accuracy",
    "classification": "mean average precision",
    "detection": "mean average precision",
    "detection_more": "mean average precision",
}
"""What is measured there."""

PAPER = {
    "scenes": "SUN-CLS",
    "classification": "PASCAL-CLS",
    "detection": "PASCAL-DET",
    "detection_more": "PASCAL-DET+DATA",
}
"""What the paper calls them; so did rows that earlier versions stored."""

ON = " on "

MORE = "+DATA"
"""End of the paper's name of a task that has more data than the one without it."""


def task_row(role: str, datasets: Iterable[str]) -> str:
    """Return the name of a task's row: what is done, and on which data sets.

    Parameters
    ----------
    role : str
        One of :data:`TASKS`.
    datasets : iterable of str
        Those that the study binds to it.

    Examples
    --------
    >>> task_row("detection_more", ["voc07", "voc12"])
    'detection with more data on voc07 + voc12'
    """
    return f"{TASKS[role]}{ON}{' + '.join(dict.fromkeys(datasets))}"


def role_of(row: str) -> str:
    """Return the part of a study that a row is about; empty for a row of something else.

    Examples
    --------
    >>> role_of("classification on scenes"), role_of("PASCAL-DET"), role_of("fc7")
    ('classification', 'detection', '')
    """
    done = row.split(ON, 1)[0] if ON in row else None
    names = ((role, (done, row)) for role in TASKS)
    return next((r for r, own in names if TASKS[r] == own[0] or PAPER[r] == own[1]), "")


def paper_task(row: str) -> str:
    """Return what the paper calls a row of Tables 1, 2 and 4.

    Examples
    --------
    >>> paper_task("scene classification on sun397"), paper_task("detection on digits")
    ('SUN-CLS', 'PASCAL-DET')
    """
    return PAPER.get(role_of(row), row)


def has_more_data(row: str) -> bool:
    """Tell whether a row is a task with more data than another has."""
    return role_of(row) == "detection_more" or row.endswith(MORE)


def with_less(row: str, rows: Iterable[str]) -> str | None:
    """Return which of some rows is the same task with less data, if one is.

    Examples
    --------
    >>> with_less("detection with more data on a + b", ["classification on a", "detection on a"])
    'detection on a'
    """
    if row.endswith(MORE):
        return next((r for r in rows if r == row.removesuffix(MORE)), None)
    return next((r for r in rows if role_of(r) == "detection"), None)
