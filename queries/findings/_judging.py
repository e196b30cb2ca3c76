"""From checks of numbers to a verdict and its sentence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from fstore.queries.findings._api import Facts, Judgement, Verdict
from fstore.queries.findings._numbers import Number

__all__ = [
    "HIDDEN",
    "judged",
    "lacking",
    "listed",
    "majority",
    "marked",
    "said_of_cell",
    "together",
    "voted",
    "with_notes",
]


HIDDEN = "The spread hides the answer."


def judged(
    checks: Iterable[bool | None],
    evidence: str,
    numbers: Iterable[Number] = (),
    *,
    hidden: str = HIDDEN,
    missing: Sequence[str] = (),
) -> Judgement:
    """Return a judgement: a failed check decides it; else one that the spread hides leaves it open.

    Parameters
    ----------
    checks : iterable of bool or None
        Of :func:`fstore.queries.findings._numbers.exceeds` and its like; none: not enough data.
    evidence : str
    numbers : iterable of Number
        What was looked at.
    hidden : str
        What to say where a check is open.
    missing : sequence of str
        What the claim speaks of too, and has no number: it leaves the answer open.
    """
    answers = list(checks)
    holds = together([*answers, *[None for _ in missing]])
    if missing:
        evidence = f"{evidence} Not known, or 0: {', '.join(missing)}."
    if None in answers and holds is None:
        evidence = f"{evidence} {hidden}"
    return Judgement(VERDICTS[holds], evidence, tuple(numbers))


VERDICTS = {True: Verdict.HOLDS, False: Verdict.FAILS, None: Verdict.UNKNOWN}


def together(checks: Iterable[bool | None]) -> bool | None:
    """Say whether all of some checks hold: None where one is open, and none fails.

    Examples
    --------
    >>> together([True, True]), together([True, None]), together([None, False])
    (True, None, False)
    """
    answers = list(checks)
    if False in answers:
        return False
    return None if None in answers or not answers else True


def marked(agrees: bool | None, *numbers: Number) -> list[Number]:
    """Return numbers whose rows say whether they bear the claim out."""
    return [replace(number, row={**number.row, "agrees": agrees}) for number in numbers]


def voted(
    outcome: bool | None, votes: Mapping[str, bool], numbers: Mapping[str, Number]
) -> list[Number]:
    """Return the numbers of a count: those marked that voted for its outcome.

    Parameters
    ----------
    outcome : bool or None
        What the count says of its part of the claim.
    votes : mapping of str to bool
        What each number says on its own.
    numbers : mapping of str to Number
        Of the same names.
    """
    return [
        n
        for name, number in numbers.items()
        for n in marked(outcome if votes[name] is outcome else None, number)
    ]


def said_of_cell(verdict: Verdict, own: bool | None) -> bool | None:
    """Return what may be said of a claim at one cell: never more than the claim's own verdict.

    This is the only place where a cell gets a mark from. A cell has the claim's verdict where it
    meets the claim's test, or misses it, by itself; where the claim is open, where the cell is on
    the other side, or where the claim is about many cells together, nothing is said.

    Parameters
    ----------
    verdict : Verdict
        Of the claim as a whole.
    own : bool or None
        Whether the cell by itself bears the claim out; None where that is open or cannot be told.

    Returns
    -------
    bool or None
        True: the claim holds, and here; False: it does not hold, and not here.

    Examples
    --------
    >>> said_of_cell(Verdict.HOLDS, True), said_of_cell(Verdict.FAILS, False)
    (True, False)
    >>> said_of_cell(Verdict.UNKNOWN, True), said_of_cell(Verdict.FAILS, True)
    (None, None)
    """
    decided = {Verdict.HOLDS: True, Verdict.FAILS: False}.get(verdict)
    return decided if decided is not None and own is decided else None


def majority(checks: Iterable[bool | None]) -> bool | None:
    """Say whether more than half of some checks hold: None where those that are open decide.

    Examples
    --------
    >>> majority([True, True, None]), majority([True, False, None]), majority([False, False, True])
    (True, None, False)
    """
    answers = list(checks)
    half = len(answers) / 2
    if answers.count(True) > half:
        return True
    return None if answers.count(True) + answers.count(None) > half or not answers else False


def lacking(facts: Facts, what: str, *reports: str) -> Judgement:
    """Return a judgement that there is not enough data: what is needed, and why it is not there."""
    return Judgement(Verdict.UNKNOWN, with_notes(facts, f"It needs {what}.", reports))


def with_notes(facts: Facts, evidence: str, reports: Iterable[str]) -> str:
    """Return evidence with what is said of what some reports lack, each note once."""
    for name in reports:
        note = facts.notes.get(name, "")
        if note not in evidence:
            evidence = f"{evidence} {note}"
    return evidence


def listed(numbers: Mapping[str, object]) -> str:
    """Return names and values as a list in words: ``conv1 0.40, conv2 0.27``."""
    return ", ".join(f"{name} {value}" for name, value in numbers.items())
