"""The extractor room."""
