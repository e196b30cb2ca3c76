"""A feature store and batch analytics for neural-network activations.

A store is a folder: data sets, checkpoints of networks, and what their layers respond to images.
What one needs, in the order in which one needs it::

    import fstore

    store = fstore.create("my-store")           # or fstore.open, where there is one
    store.add_dataset("pets", "data/pets", format="imagefolder", seeds=[0])
    store.add_checkpoint("weights.pth", network="torchvision:resnet18", name="imagenet")
    store.extract(["layer4"], "imagenet", "pets")

    train = store.features("layer4", "imagenet", "pets", part="train", pool="mean")
    train.X, train.y, train.classes             # arrays, read when they are asked for
    train.polars(), train.torch()               # the same for other libraries

    store.sql("SELECT layer, sum(nnz) FROM activations GROUP BY layer").df()
    store.analyze.selectivity("layer4", "imagenet", "pets", view="image").show()
    store.report("table7")                      # of a study: docs/studies.md
    store.network("imagenet")(["cat.jpg"])      # the network itself

In scikit-learn, :class:`FstoreFeatures` is a step that turns images into responses::

    make_pipeline(fstore.FstoreFeatures(store, "layer4", "imagenet", pool="mean"), LinearSVC())

``help(fstore.Store)`` has each method, ``docs/python.md`` more examples. What a user can cause is
raised as an :class:`FstoreError`; its message says what was wrong and what to do.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from fstore.errors import (
    DataError,
    EngineError,
    FstoreError,
    IdentityError,
    MissingExtraError,
    QueryError,
    SchemaError,
    StorageError,
    TrustError,
    UnknownNameError,
)

if TYPE_CHECKING:
    from fstore.api import Features, FstoreFeatures, Store

__all__ = [
    "DataError",
    "EngineError",
    "Features",
    "FstoreError",
    "FstoreFeatures",
    "IdentityError",
    "MissingExtraError",
    "QueryError",
    "SchemaError",
    "StorageError",
    "Store",
    "TrustError",
    "UnknownNameError",
    "__version__",
    "create",
    "open",
]

__version__: str


if not TYPE_CHECKING:  # a checker would take every name for an attribute

    def __getattr__(name: str) -> object:
        """Look things up when asked: what they need takes longer than ``import fstore`` may."""
        if name == "__version__":
            from importlib.metadata import version

            return version("fstore")
        if name in ("Features", "FstoreFeatures", "Store"):
            from fstore import api

            return getattr(api, name)
        raise AttributeError(f"module 'fstore' has no attribute {name!r}")

    def __dir__() -> list[str]:
        """List what is looked up when asked, too."""
        return __all__


def open(path: str | Path, *, trust: bool = False) -> "Store":  # noqa: A001 - read as fstore.open
    """Open a store.

    Parameters
    ----------
    path : str or Path
        Its directory.
    trust : bool
        Run the code of every network of its maker's own that the store names
        (``file.py:function``). Without it, only networks that you named yourself are run.

    Raises
    ------
    StorageError
        There is none (:func:`create` makes one).
    SchemaError
        It was written by another version of fstore.
    """
    from fstore.api import Store

    return Store.open(path, trust=trust)


def create(path: str | Path) -> "Store":
    """Make a store in a new or empty directory; one that is there already is opened.

    Raises
    ------
    StorageError
        The directory holds something else, or cannot be written.
    """
    from fstore.api import Store

    return Store.create(path)
