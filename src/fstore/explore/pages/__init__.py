"""The explorer's pages: one file each, registered by their path in ``PAGES``."""

from fstore.registry import import_siblings

import_siblings(__name__, list(__path__))
