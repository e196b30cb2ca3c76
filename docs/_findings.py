"""Tables of claims and of what the paper's own numbers say of them, for ``findings.md``."""

from fstore.queries.findings import CLAIMS, Verdict, paper_findings

__all__ = ["claim_table", "paper_table"]


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
