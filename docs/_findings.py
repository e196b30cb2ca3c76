"""What ``findings.md`` and ``tables.md`` show: claims, and the paper's own numbers."""

from fstore.queries.findings import CLAIMS, Verdict, paper_findings
from fstore.queries.publish.paper_tables import table_text
from fstore.queries.reports import column_words, paper_numbers

__all__ = ["claim_table", "paper_table", "paper_table_texts"]


def claim_table() -> str:
    """Return every claim with its sections, reports and criterion in Markdown."""
    reports = {entry.name: ", ".join(entry.meta["reports"]) for entry in CLAIMS}
    rows = [
        f"| `{f.name}` | {f.claim} | {f.source.split(' ', 1)[1]} | {reports[f.name]} "
        f"| {f.criterion} |"
        for f in paper_findings()
    ]
    head = ["| name | claim | sections | reports | holds if |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def paper_table() -> str:
    """Return what the paper's tables say of its claims in Markdown."""
    known = [f for f in paper_findings() if f.verdict != Verdict.UNKNOWN]
    rows = [f"| `{f.name}` | {f.verdict} | {f.evidence} |" for f in known]
    return "\n".join(["| name | verdict | evidence |", "|---|---|---|", *rows])


def paper_table_texts() -> str:
    """Return the paper's Table 8 as this writes tables, in Markdown and in LaTeX."""
    rows = [
        {"row": row, "col": col, "value": value, "std": None, "n": None, "paper": None}
        for (row, col), value in paper_numbers("table8.csv").items()
    ]
    written = {
        form: table_text(
            rows, form, title="Ablations in detection", label="table8", word=column_words("table8")
        )
        for form in ("md", "latex")
    }
    return "\n\n".join(f"```{form}\n{text}```" for form, text in written.items())
