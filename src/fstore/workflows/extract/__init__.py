"""From images to stored activations: what is to do, how long it takes, and doing it.

Forward passes belong in ``extractor``, files in ``store``.
"""
