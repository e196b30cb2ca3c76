"""Drawing: rows in, charts or pictures out. Nothing here computes a number of a report.

Cells stay fresh when a module of this folder changes.
"""
