"""Refreshing by the clock: when it is time, the loop, its log, and programs to call.

What a refresh does belongs in ``refresh``.
"""
