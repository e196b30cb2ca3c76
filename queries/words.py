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
"""Names in words; an ablation has its own label; of another, underscores are spaces."""


def worded(name: str) -> str:
    """Return a name of ours in words: of several, and with what stands beside, each its own.

    Examples
    --------
    >>> worded("sp_max"), worded("label 0.1"), worded("shuffle_seed"), worded("none:all_points")
    ('sp-max', 'label 0.1', 'shuffle seed', 'as they are: all points')
    """
    return ": ".join(" ".join(map(_word, part.split(" "))) for part in name.split(":"))


def _word(word: str) -> str:
    from fstore.queries.samples.ablations import ABLATIONS

    if word in ABLATIONS:
        return str(ABLATIONS[word].meta["label"])
    return WORDS.get(word, word.replace("_", " "))
