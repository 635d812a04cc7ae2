"""Where a run meets the user: one clean line for an error, a table for a result."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from coti.core.ending import INTERRUPTED, end_in_a_sentence, stopped
from coti.core.errors import CotiError, StoreError
from coti.loop.record import CycleRecord, with_judged
from coti.loop.verdict import Verdict, verdict_of
from coti.metrics.table import headline
from coti.report import cycles_table
from ops.run_file import check_run_file
from ops.stack.moved_state import require_state, settle
from ops.stack.storage_sentence import disk_sentence, storage_sentence

__all__ = [
    "announce_cycle",
    "announce_pool",
    "announce_preflight",
    "announce_result",
    "check_command_line",
    "user_errors",
    "user_sentence",
]


def user_sentence(error: BaseException, mid_run: bool = True) -> str | None:
    """What an error, or one behind it, says to the user; None for a mistake of the program's.

    Args:
        error: what was raised.
        mid_run: as for :func:`ops.stack.storage_sentence.storage_sentence`.
    """
    behind: list[BaseException] = []
    found: BaseException | None = error
    while found is not None:
        behind.append(found)
        found = found.__cause__ or found.__context__
    # The disk's own words first: a store or server that it has stopped says less.
    for each in behind:
        said = str(each) if isinstance(each, CotiError) else disk_sentence(each)
        if said is not None:
            return said
    return next(filter(None, (storage_sentence(each, mid_run) for each in behind)), None)


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn an error raised on purpose, here or in a step, into click's one line and exit code 1;
    Ctrl-C into one and its own code."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"Error: {stopped('Ctrl-C')}", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        said = user_sentence(error)
        if said is None:
            raise
        raise click.ClickException(said) from error


def announce_pool(
    pool_source: dict[str, Any],
    validation: dict[str, Any],
    cut: str = "",
    shortfalls: Sequence[str] = (),
) -> None:
    """What the pool was taken for, that accepted and quarantined rows add up to its inputs, and
    which metrics will be missing."""
    counts = dict(validation["counts"])
    accepted, quarantined = counts.pop("accepted"), counts.pop("quarantined")
    reasons = ", ".join(f"{reason} {number}" for reason, number in counts.items())
    click.echo(
        f"Pool        {pool_source['source']} ({pool_source['kind']}): {accepted + quarantined} "
        f"inputs = {accepted} accepted + {quarantined} quarantined"
        + (f" ({reasons})" if reasons else "")
    )
    said = [cut] if cut else []
    for note in [*pool_source["notes"], *validation["drift"], *said, *shortfalls]:
        click.echo(_indented(f"            {note}"))


def announce_preflight(facts: dict[str, float]) -> None:
    """Before anything is trained: what speaks against the run, with what to do."""
    found = verdict_of(facts)
    if "accepted" in facts:
        click.echo(f"{'Pre-flight':<12}{facts['accepted']:.0f} images of the pool pass the scorer")
    for reason in found.reasons:
        click.echo(f"{'':12}{found.outcome}: {reason}")


def announce_cycle(
    history: list[dict[str, Any]], judged: dict[str, Any], decision: dict[str, Any], cycles: int
) -> None:
    """A line at the end of a cycle, the last of ``history``: a run is never silent for long.

    ``cycles`` is the number of the last one that the settings allow.
    """
    (record,) = with_judged([CycleRecord.of(history[-1])], [judged])
    numbers = [
        f"{metric.label} {metric.format(record.metrics[metric.name])}"
        for metric in headline(record.metrics)
    ]
    left = ""
    if decision["go_on"]:
        took = sum(row["seconds"] for row in history) / len(history)
        ahead = (cycles - record.cycle) * took
        left = f"; kept so far {decision['kept_cycle']}, at most some {ahead:.0f} s to go"
    click.echo(
        f"Cycle {record.cycle} of {cycles}".ljust(14)
        + f"{record.train_size} images in X_T, {record.pool_left} left in the pool, "
        + f"{record.seconds:.0f} s: {', '.join(numbers)}{left}"
    )


def announce_result(
    history: list[dict[str, Any]],
    judged: list[dict[str, Any]],
    decision: dict[str, Any],
    verdict: dict[str, Any],
    registration: dict[str, Any],
    folder: str,
) -> None:
    """The end of a run: a line a cycle, why it stopped, where everything is."""
    click.echo()
    found = Verdict.of(verdict)
    click.echo(found.sentence)
    records = with_judged([CycleRecord.of(row) for row in history], judged)
    table = cycles_table([record.row() for record in records], kept_cycle=decision["kept_cycle"])
    click.echo("\n".join(map(_indented, table.splitlines())))
    click.echo(decision["reason"])
    click.echo(f"Embedding   {folder}/learned_embeds.safetensors (cycle {decision['kept_cycle']})")
    click.echo(f"Report      {folder}/report.html")
    click.echo(
        f"Registry    {registration['model']} version {registration['version']}: "
        f"{registration['reason']}"
    )
    click.echo(f"MLflow UI   coti ui --run {registration['mlflow_run']}")
    _end_with(found.exit_code)


def _end_with(code: int) -> None:
    """The exit code of the command that runs, once it has ended; 0 leaves its own."""
    context = click.get_current_context(silent=True)
    if context is not None and code:
        context.find_root().call_on_close(partial(sys.exit, code))


def _one_sentence(otherwise: Callable[..., object]) -> Callable[..., None]:
    """A hook for what escapes ZenML's command; a mistake in the program stays a traceback."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        said = user_sentence(error)
        if said is None:
            otherwise(kind, error, trace)
            return
        logging.getLogger("coti").error("the run ended with this:", exc_info=error)
        click.echo(f"Error: {said}", err=True)

    return hook


def _indented(line: str) -> str:
    """The line with a space at its start that ZenML does not strip when a container's passes by."""
    return f"\N{NO-BREAK SPACE}{line[1:]}" if line.startswith(" ") else line


def check_command_line(
    check: Callable[[Path], Any] = check_run_file,
) -> tuple[Any, Path | None]:
    """Check what ``zenml pipeline run … -c FILE`` is about to use, before ZenML does.

    ZenML silently ignores unknown top-level keys, and answers a wrong one below, like a database
    that it cannot use, with a traceback. From here on whatever we can explain is one sentence.

    Returns:
        What ``check`` says of FILE, and FILE; None for both without one.
    """
    end_in_a_sentence()
    sys.excepthook = _one_sentence(sys.excepthook)
    with user_errors():
        if settle():  # ZenML has opened what it found before
            raise StoreError("this folder's state is its own now: run the same command again.")
        require_state()
    context = click.get_current_context(silent=True)
    path = context.params.get("config_path") if context is not None else None
    if path is None:
        return None, None
    with user_errors():
        return check(Path(path)), Path(path)
