"""How a checkpoint of a study is made: the command, in words."""

from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING

from fstore.queries.studies.tuned import VIEWS, Tuned, run_seeds

if TYPE_CHECKING:
    from fstore.queries.studies.bound import Bound
    from fstore.queries.studies.study import Study

__all__ = ["checkpoint_command", "finetune_words"]


def checkpoint_command(study: "Study", ckpt: str) -> str:
    """Return the command that makes a checkpoint of a study, without its recipe's options.

    One that was not fine-tuned for a task is imported, or a snapshot of pre-training; so is one
    that learned from data sets of different splits, which no command takes.
    """
    for entry in study.tuned:
        bounds: Sequence[Bound] = getattr(study, entry.task)
        if ckpt in entry.ckpts and len({bound.split for bound in bounds}) == 1:
            return " ".join(quote(word) for word in finetune_words(study, entry, ckpt))
    words = f"--network {quote(study.network)} --name {quote(ckpt)}"
    return f"fstore ckpt import FILE {words} (or fstore train pretrain)"


def finetune_words(study: "Study", entry: Tuned, ckpt: str) -> list[str]:
    """Return the words of the command that fine-tunes a checkpoint, without its recipe's options.

    The seed of the run is that of the split and of the training.
    """
    bounds: Sequence[Bound] = getattr(study, entry.task)
    seed = run_seeds(bounds)[entry.ckpts.index(ckpt)]
    words = ["fstore", "train", "finetune", "--network", study.network]
    words += ["--from", entry.parent] if entry.parent else []
    words += ["--mode", entry.mode]
    words += [word for bound in bounds for word in ("--dataset", bound.dataset)]
    words += ["--view", VIEWS[entry.task], "--split", bounds[0].split]
    words += ["--split-seed", str(seed)] if bounds[0].split != "official" else []
    return [*words, "--seed", str(seed), "--name", ckpt]
