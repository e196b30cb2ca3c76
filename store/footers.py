"""Keys of what the footer of a layer's file says beside the identity of what it holds."""

__all__ = ["NEGATIVE_KEY", "NULL_KEY", "TOTALS_KEY"]

TOTALS_KEY = "fstore.totals"
"""JSON: each sample's responses that are not 0; see ``store/totals.py``."""
NULL_KEY = "fstore.null_means"
"""JSON: what another reader puts in the place of NULL."""
NEGATIVE_KEY = "fstore.negative"
"""How many responses are below 0."""
