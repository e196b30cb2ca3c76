"""The words for names that are ours: columns, ablations, measures. No identifier reaches a reader.

Names that a store holds (classes, data sets, layers, checkpoints) are not ours and stay as they
are: whoever words a name knows which kind it is.
"""

__all__ = ["WORDS", "worded"]

WORDS = {
    "ap": "AP (percent)",
    "channel": "filter",
    "cosine": "cosine",
    "cosine_binarized": "cosine, binarized",
    "fc_ft": "fc-ft",
    "finetune": "fine-tuned",
    "finetuned": "fine-tuned",
    "ft": "fine-tuned",
    "hamming": "Hamming distance",
    "nonzero_percent": "non-zero (percent)",
    "pretrain": "pre-trained",
    "pretrained": "pre-trained",
    "prior": "random filter",
    "scratch": "from scratch",
}
"""Names in words, those of registered ablations among them; of another, underscores are spaces."""


def worded(name: str) -> str:
    """Return a name of ours in words: of several, and with what stands beside, each its own.

    Examples
    --------
    >>> worded("fc_ft"), worded("label 0.1"), worded("shuffle_seed"), worded("scratch:all_points")
    ('fc-ft', 'label 0.1', 'shuffle seed', 'from scratch: all points')
    """
    return ": ".join(" ".join(map(_word, part.split(" "))) for part in name.split(":"))


def _word(word: str) -> str:
    return WORDS.get(word, word.replace("_", " "))
