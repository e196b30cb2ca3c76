"""Networks: one file a family; each registers itself by name."""

from fstore.extractor.networks._api import NETWORKS, Beside, Network, StatedLayout, Tokens, network
from fstore.extractor.networks._libraries import LIBRARIES, library_names, library_tensors
from fstore.extractor.networks._own import place_of
from fstore.extractor.networks.published import Published, fetched, published, published_as
from fstore.extractor.networks.resolve import build_network, network_names
from fstore.registry import import_siblings

__all__ = [
    "LIBRARIES",
    "NETWORKS",
    "Beside",
    "Network",
    "Published",
    "StatedLayout",
    "Tokens",
    "build_network",
    "fetched",
    "library_names",
    "library_tensors",
    "network",
    "network_names",
    "place_of",
    "published",
    "published_as",
]

import_siblings(__name__, list(__path__))
