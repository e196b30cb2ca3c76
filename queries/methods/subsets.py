"""How many filters a class takes: nested subsets of filters, by class."""

from typing import TYPE_CHECKING

from fstore.errors import DataError
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.queries.methods.filters import Subsets
    from fstore.queries.samples.single import Responses

__all__ = ["class_subsets"]


def class_subsets(
    responses: "Responses", *, on_progress: OnProgress | None = None
) -> "dict[str, Subsets]":
    """Return the average precision of nested subsets of filters, by class.

    Learned on train and val, tested on test; responses scaled by one factor to a mean norm of 20
    over the samples that are learned from. Classes that cannot be learned or tested are left out.

    Parameters
    ----------
    responses : Responses
    on_progress : callable or None

    Raises
    ------
    DataError
        No class can be learned and tested; no filter responds.
    """
    from fstore.queries.methods.filters import factor, subset_aps

    fitted, test = responses.split.fitted, responses.split.test
    scale = factor(responses.X[fitted])
    train, held_out = responses.X[fitted] * scale, responses.X[test] * scale
    subsets = {}
    for c, name in enumerate(responses.classes):
        one = subset_aps(train, responses.Y[fitted, c], held_out, y_test=responses.Y[test, c])
        if one is not None:
            subsets[name] = one
        if on_progress is not None:
            on_progress("subsets of filters", c + 1, len(responses.classes), name)
    if not subsets:
        raise DataError(
            "no class has a positive and a negative sample to learn from and a positive one to "
            f"test on, among {len(fitted)} training and {len(test)} test samples"
        )
    return subsets
