"""The numbers: Gram SVMs, average precision, entropy, retrieval. Arrays in, arrays out.

Which arrays, and what they are called in a table, belongs elsewhere.
"""
