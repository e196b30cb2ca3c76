"""One rule for every seed: what generators and tables can hold."""

from fstore.errors import DataError

__all__ = ["LARGEST_SEED", "check_seed"]

LARGEST_SEED = 2**63 - 1
"""Tables keep seeds as signed numbers of 64 bits; torch's and NumPy's generators take more."""


def check_seed(seed: object, what: str = "a seed") -> int:
    """Return a seed, or refuse it.

    Parameters
    ----------
    seed : object
        Of the command line, a study file or a caller.
    what : str
        What it is called where it was given.

    Raises
    ------
    DataError
        Not a whole number from 0 to 2**63 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise DataError(f"{what} is a whole number, not {seed!r}")
    if not 0 <= seed <= LARGEST_SEED:
        raise DataError(f"{what} counts from 0 to {LARGEST_SEED} (63 bits), not {seed}")
    return seed
