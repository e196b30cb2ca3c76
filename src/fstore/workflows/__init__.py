"""What needs rooms that do not know each other: images, networks and weights into a store.

One module a subject; the names below are the ones that programs of users call.
"""

from fstore.workflows.checkpoints import (
    check_weights,
    import_checkpoint,
    init_checkpoint,
    load_network,
    seeded_network,
    write_checkpoint,
)
from fstore.workflows.datasets import AddedDataset, add_dataset, check_format

__all__ = [
    "AddedDataset",
    "add_dataset",
    "check_format",
    "check_weights",
    "import_checkpoint",
    "init_checkpoint",
    "load_network",
    "seeded_network",
    "write_checkpoint",
]
