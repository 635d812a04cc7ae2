"""``coti retrain``: what changed, what must run, and exit codes that a CI understands."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import click

from coti.commands.json_output import json_option, print_json
from ops.quiet import ROOT, quiet_terminal

__all__ = ["retrain"]


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--stack", "stack_name", help="Stack of configs/stacks to make active before.")
@click.option(
    "--pipeline",
    type=click.Choice(["coti_concept", "coti_concept_static"]),
    default="coti_concept",
)
@click.option("--force", is_flag=True, help="Run even where nothing changed.")
@click.option(
    "--dry-run", is_flag=True, help="Only say what changed; exit code 20 if anything did."
)
@click.option("--lenient", is_flag=True, help="Exit 0, not 10, if a version stayed a challenger.")
@click.option(
    "--summary",
    "summary_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Append a page in Markdown; without it, to $GITHUB_STEP_SUMMARY where that is set.",
)
@json_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Put embedding, report and samples of what was trained here, a folder a concept.",
)
def retrain(
    paths: tuple[Path, ...],
    stack_name: str | None,
    pipeline: str,
    force: bool,
    dry_run: bool,
    lenient: bool,
    summary_path: Path | None,
    as_json: bool,
    output: Path | None,
) -> None:
    """Train again the concepts whose run file, pool, seeds, references or models changed.

    PATHS are run files, or folders of them. Exit codes: 0 nothing to do, or promoted; 10 trained,
    but kept as challenger; 20 something changed (with --dry-run); 1 something failed. With --json
    whatever else is said, by the runs as well, goes to the standard error.

    \b
    Examples:
      coti retrain configs/concepts --dry-run
      coti retrain configs/concepts --stack s3 --output retrained
    """
    quiet_terminal()
    if stack_name is not None:
        from ops.stack.register_stack import register_stack

        click.echo(f"Stack {register_stack(stack_name)} is active.", err=as_json)
    from coti.core.whole_files import refuse_foreign, require_writable
    from ops.retraining import changes, download, exit_code, run_files, summary
    from ops.retraining import retrain as retrain_one
    from ops.run_file import check_run_file
    from ops.tracking.active_tracker import active_tracker
    from ops.tracking.tracker import slug
    from ops.zenml_command import pipeline_run

    quiet_terminal(again=True)  # ZenML is imported now
    tracker = active_tracker()
    files = run_files(paths)
    if dry_run:
        found = {str(path): changes(tracker.client, check_run_file(path)) for path in files}
        if as_json:
            print_json([{"file": name, "changed": changed} for name, changed in found.items()])
        for name, changed in () if as_json else found.items():
            click.echo(f"{name}: {', '.join(changed) if changed else 'unchanged'}")
        raise click.exceptions.Exit(20 if any(found.values()) else 0)

    def run(path: Path) -> int:
        said = sys.stderr if as_json else None
        words = pipeline_run(pipeline, path)
        return subprocess.run(words, cwd=ROOT, check=False, stdout=said).returncode

    page = summary_path or (Path(os.environ["GITHUB_STEP_SUMMARY"]) if _in_github() else None)
    if output is not None:
        require_writable(output)
        for path in files:
            refuse_foreign(output / slug(check_run_file(path).concept))
    if page is not None:
        require_writable(page.absolute().parent)
    outcomes = []
    try:
        for path in files:
            outcome = retrain_one(path, tracker, run, force)
            click.echo(f"{outcome.concept}: {outcome.action}: {outcome.reason}", err=as_json)
            outcomes.append(outcome)
    finally:
        # Whatever ends the command, what came of the concepts before is told.
        if page is not None:
            with page.open("a", encoding="utf-8") as file:
                file.write(summary(outcomes))
        if as_json:
            print_json([asdict(each) for each in outcomes])
    if output is not None:
        try:
            download(outcomes, tracker.client, output)
        except Exception as error:
            # What was trained is trained, and a repeat would find it unchanged.
            why = " ".join(str(error).split())[:200]
            click.echo(f"Not all was fetched into {output} ({why}): see `coti ui`.", err=True)
    code = exit_code(outcomes)
    raise click.exceptions.Exit(0 if lenient and code == 10 else code)


def _in_github() -> bool:
    return bool(os.environ.get("GITHUB_STEP_SUMMARY"))
