"""Bringing a study's reports up: what is stale is computed and stored, and the history is kept.

When that happens by the clock belongs in ``schedule``.
"""
