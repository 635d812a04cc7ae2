"""Where a run meets the user: one clean line for an error, a table for a result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from coti.core.errors import CotiError
from coti.loop.record import CycleRecord, with_verdicts
from coti.report import cycles_table
from ops.run_file import check_run_file
from ops.stack.storage_sentence import storage_sentence

__all__ = [
    "announce_pool",
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
    found: BaseException | None = error
    while found is not None:
        said = str(found) if isinstance(found, CotiError) else storage_sentence(found, mid_run)
        if said is not None:
            return said
        found = found.__cause__ or found.__context__
    return None


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn an error raised on purpose, here or in a step, into click's one line and exit code 1."""
    try:
        yield
    except Exception as error:
        said = user_sentence(error)
        if said is None:
            raise
        raise click.ClickException(said) from error


def announce_pool(
    pool_source: dict[str, Any], validation: dict[str, Any], shortfalls: Sequence[str] = ()
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
    for note in [*pool_source["notes"], *validation["drift"], *shortfalls]:
        click.echo(_indented(f"            {note}"))


def announce_result(
    history: list[dict[str, Any]],
    verdicts: list[dict[str, Any]],
    decision: dict[str, Any],
    registration: dict[str, Any],
    folder: str,
) -> None:
    """The end of a run: a line a cycle, why it stopped, where everything is."""
    click.echo()
    records = with_verdicts([CycleRecord.of(row) for row in history], verdicts)
    table = cycles_table([record.row() for record in records], best_cycle=decision["best_cycle"])
    click.echo("\n".join(map(_indented, table.splitlines())))
    click.echo(decision["reason"])
    click.echo(f"Embedding   {folder}/learned_embeds.safetensors (cycle {decision['best_cycle']})")
    click.echo(f"Report      {folder}/report.html")
    click.echo(
        f"Registry    {registration['model']} version {registration['version']}: "
        f"{registration['reason']}"
    )
    click.echo(f"MLflow UI   coti ui --run {registration['mlflow_run']}")


def _indented(line: str) -> str:
    """The line with a space at its start that ZenML does not strip when a container's passes by."""
    return f"\N{NO-BREAK SPACE}{line[1:]}" if line.startswith(" ") else line


def check_command_line(check: Callable[[Path], object] = check_run_file) -> None:
    """Check the run file of ``zenml pipeline run … -c FILE`` before ZenML does.

    ZenML silently ignores unknown top-level keys, and answers a wrong one below with a traceback.
    """
    context = click.get_current_context(silent=True)
    path = context.params.get("config_path") if context is not None else None
    if path is not None:
        with user_errors():
            check(Path(path))
