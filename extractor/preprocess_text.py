"""Preprocessing as it is written on the command line: ``NAME=VALUE``, several with commas."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from fstore.errors import DataError
from fstore.extractor.preprocess import OPTIONS

__all__ = ["parse_options"]

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def parse_options(texts: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a preprocessing that texts state.

    Parameters
    ----------
    texts : sequence of str
        Each ``NAME=VALUE`` or several of them with commas between: ``size=288,resize=320``,
        ``mean=0.48,0.45,0.4``, ``scale=1/255``.

    Returns
    -------
    dict
        For :meth:`fstore.extractor.preprocess.Preprocess.with_options`, in the order given.

    Raises
    ------
    DataError
        A text without a name, an unknown name, one that is given twice, or a value that cannot
        be read.

    Examples
    --------
    >>> parse_options(["size=288,resize=320", "antialias=no", "mean=0,0.5,1"])
    {'size': 288, 'resize': 320, 'antialias': False, 'mean': (0.0, 0.5, 1.0)}
    """
    options: dict[str, Any] = {}
    for text in texts:
        for part in re.split(r",(?=\s*[A-Za-z_]+\s*=)", text):
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or name not in OPTIONS:
                what = f"no {name!r} in a preprocessing" if equals else f"no NAME=VALUE: {part!r}"
                raise DataError(f"--preprocess: {what}; there are: {', '.join(OPTIONS)}")
            if name in options:
                raise DataError(f"--preprocess: {name} is given twice")
            options[name] = _read(name, value)
    return options


def _read(name: str, value: str) -> Any:  # noqa: ANN401 - each field has its own type
    """Return what a text means for a field; words are left to the check of the field itself."""
    read, wanted = _READERS.get(name, (str, ""))
    try:
        return read(value)
    except (ValueError, LookupError, ZeroDivisionError) as exc:
        raise DataError(f"--preprocess: {name}={value!r}; expected {wanted}") from exc


def _number(text: str) -> float:
    """Read a number, or a fraction such as ``1/255``."""
    above, slash, below = text.partition("/")
    return float(above) / float(below) if slash else float(above)


def _truth(text: str) -> bool:
    return _TRUTH[text.lower()]


def _colours(text: str) -> tuple[float, ...]:
    numbers = tuple(_number(part) for part in text.split(","))
    if len(numbers) != 3:
        raise ValueError(text)
    return numbers


_WHOLE: tuple[Callable[[str], object], str] = (int, "a whole number of pixels")
_THREE: tuple[Callable[[str], object], str] = (_colours, "three numbers, as in 0.48,0.45,0.4")
_READERS: dict[str, tuple[Callable[[str], object], str]] = {
    "size": _WHOLE,
    "resize": _WHOLE,
    "context": _WHOLE,
    "scale": (_number, "a number, or a fraction such as 1/255"),
    "mean": _THREE,
    "std": _THREE,
    "antialias": (_truth, "true or false"),
}
