"""Libraries that fstore does without where nobody asks for them."""

from typing import TYPE_CHECKING

from fstore.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["need"]


def need(module: str, *, extra: str) -> "ModuleType":
    """Return an optional library.

    Parameters
    ----------
    module : str
        Its name.
    extra : str
        What of fstore installs it.

    Raises
    ------
    MissingExtraError
        It is not installed; the message says how it is.
    """
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{module} is not installed: pip install 'fstore[{extra}]'"
        ) from error
