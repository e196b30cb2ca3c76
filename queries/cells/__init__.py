"""What a cell of a report is, what it reads, the version of its code, and why it is stale.

Computing and storing cells belongs in ``refresh``.
"""
