"""The explorer: a store in the browser. Pages are made here; what they show is in their address."""

from fstore.explore.app import application

__all__ = ["application"]
