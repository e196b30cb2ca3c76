"""A study file: its parts bound to names of the store, and how what it needs is made.

What a report computes from it belongs in ``reports``.
"""
