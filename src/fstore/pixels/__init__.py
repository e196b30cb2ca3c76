"""Boxes, warps and image files: what rooms that do not know each other share about images.

It imports no room.
"""
