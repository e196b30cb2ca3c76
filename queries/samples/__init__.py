"""Which samples, labels and responses an analysis reads, and what is done to responses first.

What turns them into numbers belongs in ``methods``.
"""
