"""The queries room."""
