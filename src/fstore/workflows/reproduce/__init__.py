"""A whole study from its file: every step in order, each skipped where it is done.

What one step does belongs in the other workflows.
"""
