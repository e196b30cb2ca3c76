"""What a drawing of a report is of: the report, its data sets, and the study's checkpoints."""

from fstore.queries.reports import titled
from fstore.queries.studies.naming import label
from fstore.queries.studies.study import Study

__all__ = ["report_title"]


def report_title(name: str, study: Study) -> str:
    """Return a report's title with its data sets, and on a second line the study's checkpoints.

    Parameters
    ----------
    name : str
        A registered report.
    study : Study
    """
    ckpts = [
        f"{word} {ckpt}"
        for word, ckpt in (("pre-trained", study.pretrained), ("fine-tuned", study.finetuned))
        if ckpt
    ]
    heading = f"{label(name)}. {titled(name, study)}"
    return f"{heading}\nStudy {study.name}: {', '.join([study.network, *ckpts])}"
