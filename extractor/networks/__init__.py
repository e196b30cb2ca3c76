"""Networks: one file a family; each registers itself by name."""

from fstore.extractor.networks._api import NETWORKS, Network, network
from fstore.registry import import_siblings

__all__ = ["NETWORKS", "Network", "network"]

import_siblings(__name__, list(__path__))
