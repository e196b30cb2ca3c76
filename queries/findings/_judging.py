"""From checks of numbers to a verdict and its sentence."""

from collections.abc import Iterable, Mapping

from fstore.queries.findings._api import Facts, Judgement, Verdict
from fstore.queries.findings._numbers import Number

__all__ = ["judged", "lacking", "listed", "majority"]


def judged(
    checks: Iterable[bool | None],
    evidence: str,
    numbers: Iterable[Number] = (),
    *,
    hidden: str = "The spread hides the answer.",
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
    """
    known = list(checks)
    if False in known:
        verdict = Verdict.FAILS
    else:
        verdict = Verdict.UNKNOWN if None in known or not known else Verdict.HOLDS
    if None in known and verdict is Verdict.UNKNOWN:
        evidence = f"{evidence} {hidden}"
    return Judgement(verdict, evidence, tuple(numbers))


def majority(checks: Iterable[bool | None]) -> bool | None:
    """Say whether more than half of some checks hold: None where those that are open decide.

    Examples
    --------
    >>> majority([True, True, None]), majority([True, False, None]), majority([False, False, True])
    (True, None, False)
    """
    known = list(checks)
    half = len(known) / 2
    if known.count(True) > half:
        return True
    return None if known.count(True) + known.count(None) > half or not known else False


def lacking(facts: Facts, what: str, *reports: str) -> Judgement:
    """Return a judgement that there is not enough data: what is needed, and why it is not there."""
    notes = [facts.notes[name] for name in reports if name in facts.notes]
    return Judgement(Verdict.UNKNOWN, " ".join([f"It needs {what}.", *notes]))


def listed(numbers: Mapping[str, object]) -> str:
    """Return names and values as a list in words: ``conv1 0.40, conv2 0.27``."""
    return ", ".join(f"{name} {value}" for name, value in numbers.items())
