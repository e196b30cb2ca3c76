"""Libraries that fstore does without where nobody asks for them."""

from typing import TYPE_CHECKING

from fstore.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["EXTRAS", "need"]

EXTRAS = {
    "pandas": ("pandas",),
    "detect": ("cv2",),
    "timm": ("timm",),
    "hf": ("transformers",),
    "open_clip": ("open_clip",),
    "dagster": ("dagster",),
    "h5": ("h5py",),
    "lance": ("lance",),
    "s3": ("boto3", "fsspec", "obstore"),
    "map": ("umap",),
    "ray": ("ray",),
}
"""Each extra of fstore, and the modules that it installs."""


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
