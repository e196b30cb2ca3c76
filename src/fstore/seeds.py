"""One rule for every seed: what generators and tables can hold."""

from fstore.errors import DataError

__all__ = ["LARGEST_SEED", "check_seed"]

LARGEST_SEED = 2**63 - 1
"""Tables keep seeds as signed numbers of 64 bits; torch's and NumPy's generators take more."""


def check_seed(seed: object, what: str = "a seed", *, least: int = 0) -> int:
    """Return a seed, or refuse it.

    Parameters
    ----------
    seed : object
        Of the command line, a study file or a caller.
    what : str
        What it is called where it was given.
    least : int
        Of splits that are there, earlier versions let the seed be below 0.

    Raises
    ------
    DataError
        Not a whole number from ``least`` to 2**63 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise DataError(f"{what} is a whole number, not {seed!r}")
    if not least <= seed <= LARGEST_SEED:
        raise DataError(f"{what} counts from {least} to {LARGEST_SEED} (63 bits), not {seed}")
    return seed
