"""Training that starts from a store and ends in a checkpoint of it: data, runs, evaluation.

The training loop belongs in ``extractor.training``.
"""
