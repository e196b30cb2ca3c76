"""Reproduce a study: from raw files to its reports, doing only what is missing."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from fstore import commands
from fstore.errors import FstoreError, UnknownNameError
from fstore.queries.studies.own import agree_to_code
from fstore.queries.studies.study import Study, parse_study
from fstore.trust import consent
from fstore.types import OnProgress
from fstore.workflows.reproduce.steps import Context, Step, making_steps, unsearched

if TYPE_CHECKING:
    from fstore.engines import RayOptions
    from fstore.queries.cells.missing import Missing
    from fstore.queries.refresh.driver import Brought
    from fstore.queries.refresh.elsewhere import Elsewhere
    from fstore.queries.refresh.extractions import Extraction
    from fstore.queries.refresh.standing import Standing
    from fstore.store import Store

__all__ = ["RESULT_COLUMNS", "Result", "Step", "reproduce"]

RESULT_COLUMNS = ("step", "state", "seconds", "note")

Watch = Callable[[Step], AbstractContextManager[OnProgress]]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a step.

    ``state`` is ``done``; ``was there``; ``to do``, in a dry run; ``left out``, a report of which
    the study binds no part, or for which it makes no proposals; or ``failed``, a report that has
    an error. ``note`` says more.
    """

    step: str
    state: str
    seconds: float
    note: str


def reproduce(
    store: "Store",
    toml: str,
    *,
    source: str = "study",
    study: Study | None = None,
    data: Path | None = None,
    device: str = "auto",
    dry_run: bool = False,
    shown: commands.Where = None,
    ray: "RayOptions | None" = None,
    elsewhere: "Elsewhere | None" = None,
    watch: Watch | None = None,
) -> Iterator[Result]:
    """Do what a study lacks, step by step: data sets, checkpoints, activations, reports.

    Each step keeps what it has done: the same call goes on where an interrupted one was stopped.

    Parameters
    ----------
    store : Store
    toml : str
        The study's text; its table ``make`` says how data sets and checkpoints are made.
    source : str
        Name of its file, for messages.
    study : Study or None
        What the text says, where the caller has read it before.
    data : Path or None
        Folder that the folders and files of ``make`` are relative to.
    device : str
        For training and extraction: ``auto``, ``cpu``, ``cuda``.
    dry_run : bool
        Change nothing; say what would be done.
    shown : str, Path or None
        The store that the steps' commands name; None: this one.
    ray : RayOptions or None
        The cluster whose workers extract; None: this process does.
    elsewhere : Elsewhere or None
        Where the cells of reports are computed; None: in this process.
    watch : callable or None
        ``watch(step)``, called before each step that is not left out, gives the context in which
        it is done, and there what to call as it goes on.

    Yields
    ------
    Result
        Of each step, when it is over.

    Raises
    ------
    DataError, UnknownNameError, IdentityError, StorageError
        The study file is wrong, or data sets, checkpoints or activations cannot be made. An error
        of one report does not stop the others.
    """
    study = parse_study(toml, source=source) if study is None else study
    consent(store.trusted, study.network)  # the user gave the study
    agree_to_code(store, study.report)
    context = Context(store, study, data, device, shown, ray, elsewhere)
    watch = watch or (lambda _: nullcontext(_silent))
    pending = False
    for step in _steps(context, toml, source, dry_run=dry_run):
        yield _carry_out(step, watch, dry_run=dry_run)
        pending = pending or (dry_run and not step.there)
    for result in _reports(context, watch, pending=pending, dry_run=dry_run):
        note = commands.portable(result.note, store.place, to=context.place)
        yield replace(result, note=note)


def _steps(context: Context, toml: str, source: str, *, dry_run: bool) -> Iterator[Step]:
    """Yield the steps before the reports; what is to be extracted shows when the rest is done."""
    yield from making_steps(context)
    yield _setting_step(context, toml, source)
    yield from _extraction_steps(context, dry_run=dry_run)


def _silent(_what: str, _done: int, _total: int, _note: str) -> None:
    pass


def _carry_out(step: Step, watch: Watch, *, dry_run: bool) -> Result:
    began, note = perf_counter(), ""
    with watch(step) as on_progress:
        if not dry_run:
            note = step.run(on_progress)
    state = "was there" if step.there else "to do" if dry_run else "done"
    return Result(step.title, state, perf_counter() - began, note)


def _setting_step(context: Context, toml: str, source: str) -> Step:
    from fstore.queries.studies.study import keep_study, study_text

    store, name = context.store, context.study.name
    try:
        is_set = study_text(store) == toml
    except UnknownNameError:
        is_set = False

    def run(_: OnProgress) -> str:
        if not is_set:
            keep_study(store, context.study, toml)
        return ""

    command = commands.study_set(context.place, source)
    return Step(f"Set study {name}", command, is_set, run)


# Activations


def _extraction_steps(context: Context, *, dry_run: bool) -> Iterator[Step]:
    """Yield the extractions that reports lack; in a dry run, those that can be told already."""
    from fstore.queries.refresh.extractions import missing_extractions, study_needs

    store, study = context.store, context.study
    datasets = {d.name for d in store.datasets()}
    if dry_run and (absent := [d.name for d in study.make.datasets if d.name not in datasets]):
        title = f"Extract what the reports read, known once {', '.join(absent)} is registered"
        yield Step(title, "", there=False, run=lambda _: "")
        return
    if dry_run and (absent := unsearched(context)):
        title = f"Extract features of proposals, known once {', '.join(absent)} is searched"
        yield Step(title, "", there=False, run=lambda _: "")
    needs, _ = study_needs(store, study)
    missing = missing_extractions(
        store,
        (need for own in needs.values() for need in own),
        layers=study.layers,
        to_come=_to_come(study) if dry_run else (),
    )
    if not missing:
        yield Step("Extract what the reports read", "", there=True, run=lambda _: "")
    for extraction in missing:
        yield _extraction_step(context, extraction)


def _to_come(study: Study) -> set[tuple[str, str]]:
    """Return the checkpoints that the study file says how to make."""
    names = {c.name for c in study.make.checkpoints}
    names |= {ckpt for training in study.make.pretrain for ckpt in training.ckpts}
    tuned = [t for t in study.tuned if study.make.recipe(t.task, t.mode)]
    names |= {ckpt for t in tuned for ckpt in t.ckpts}
    return {(study.network, name) for name in names}


def _extraction_step(context: Context, extraction: "Extraction") -> Step:
    def run(on_progress: OnProgress) -> str:
        from fstore.workflows.extract.run import ExtractionOptions, Progress, extract

        def progress(state: Progress) -> None:
            note = f"{state.images_per_s:.1f} images/s"
            on_progress(state.job, state.done, state.total, note)

        summary = extract(
            context.store,
            layers=extraction.layers,
            ckpts=extraction.ckpts,
            datasets=[extraction.dataset],
            views=[extraction.view],
            part=extraction.part,
            options=ExtractionOptions(device=context.device, ray=context.ray),
            on_progress=progress,
        )
        return f"{summary.samples} samples, {summary.bytes / 1e6:.1f} MB"

    ckpts = [name.split("/", 1)[1] for name in extraction.ckpts]
    part = f" ({extraction.part})" if extraction.part else ""
    title = (
        f"Extract {' '.join(extraction.layers)} for {extraction.dataset}.{extraction.view}{part} "
        f"at {' '.join(ckpts)}"
    )
    return Step(title, extraction.command(context.place), there=False, run=run)


# Reports


def _reports(context: Context, watch: Watch, *, pending: bool, dry_run: bool) -> Iterator[Result]:
    """Refresh every report; ``pending``: what it reads is to be made first."""
    from fstore.queries.refresh.driver import brought

    def watched(name: str, standing: "Standing") -> AbstractContextManager[OnProgress]:
        command = commands.report_show(context.place, name)
        return watch(Step(_title(context.study, name), command, not standing.stale, lambda _: ""))

    for done in brought(
        context.store,
        context.study,
        compute=not dry_run,
        elsewhere=context.elsewhere,
        watch=watched,
    ):
        if done.raised is not None and not isinstance(done.raised, FstoreError):
            raise done.raised  # a bug is not a step that failed
        yield _result(context.study, done, pending=pending)


def _title(study: Study, name: str) -> str:
    from fstore.queries.reports import report_of

    return f"{name}: {report_of(study, name).meta['title']}"


def _result(study: Study, done: "Brought", *, pending: bool) -> Result:
    """Tell what became of a report as of any step."""
    from fstore.queries.refresh.standing import State

    title, missing = _title(study, done.report), done.missing
    if done.raised is not None:
        state = "left out" if done.state is State.LEFT_OUT else "to do" if pending else "failed"
        return Result(title, state, done.seconds, done.error)
    if pending:
        return Result(title, "to do", 0.0, "")
    states = {State.COMPUTED: "done", State.STALE: "to do"}
    state = states.get(done.state, "was there" if done.standing.stamps else _without(missing))
    more = f" (and {len(missing) - 1} more)" if missing[1:] else ""
    return Result(title, state, done.seconds, f"{missing[0]}{more}" if missing else "")


def _without(missing: "Sequence[Missing]") -> str:
    """Return the state of a report without a cell: left out, where no proposals are made."""
    from fstore.queries.cells.inputs import NO_PROPOSALS

    unsearched = any(m.lack.startswith(NO_PROPOSALS) for m in missing)
    return "left out" if unsearched else "failed"
