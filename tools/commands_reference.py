"""Write ``docs/commands.md`` from the commands: `python -m tools.commands_reference`.

Their help, the table of exit codes and which of them have ``--json`` come from the commands
themselves; what is said around them stands here.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from coti.commands.exit_codes import EXIT_CODES
from coti.commands.main import cli
from ops.quiet import ROOT

__all__ = ["JSON", "PAGE", "every_command", "reference"]

PAGE = ROOT / "docs" / "commands.md"
WIDTH = 100

HEAD = """# Commands

Written by `python -m tools.commands_reference` from the commands themselves; a test keeps it up to
date. `zenml pipeline run coti_concept -c FILE` trains; `coti` does the rest. Every command has `-h`
(or `--help`), with an example and all defaults. `check`, `regimes`, `registry`, `retrain`, `runs`,
`stack`, `studio` and `ui` are of a checkout of this repository; the package alone has the others.

## Exit codes

All commands have the same, a traceback is a mistake in the program: please report it, with the log
in `.coti/logs`. Input, output and errors may each be closed (cron, a daemon). A sentence quotes 300
letters of a path or a value at most.

"""

JSON_HEAD = """
## For scripts: `--json`

One JSON value on standard output and nothing else there: a list where there may be several things,
an object for one. Keys are words in snake_case, metrics are under their names and unrounded, sizes
in bytes, times in UTC as ISO 8601; what is not known is `null`. A later version may add keys. The
exit code is the same as without, and an error is a sentence on standard error.

| command | value |
|---|---|
"""

JSON = {
    "check": "`outcome` (`worked`, `doubtful`, `failed`); `reasons`: sentences; `facts`: numbers",
    "curate": "`concept`, `pool`, `kind`, `inputs`; `counts`: inputs by what became of them, "
    "`picked` among them; `verdict`: `outcome`, `reasons`, `facts`; `output`, `report`",
    "dataset export": "`set`, `for`, `output`, `images`, `masks`; `left_out`: images by format; "
    "`licenses`: images by licence; `start`: what starts the training",
    "evaluate": "`rows`: a row a label, means over the seeds, with the keys of `scores.csv`; "
    "`table`, `plot`; `mlflow_run`",
    "pool check": "`pool`, `kind`, `counts` (`accepted`, `quarantined`, each reason), `version`, "
    "`notes`, `problem`, `report`",
    "pool diff": "`added`, `removed`, `changed`, `recaptioned`, `judged`: names of inputs",
    "rank": "`best`, `sentence`; `rows`: one a checkpoint, best first, with `rank.csv`'s keys; "
    "`table`, `page`; `mlflow_run`",
    "registry compare": "`concept`; `versions`: two of `version`, `aliases`, `metrics`, `run`, "
    "`source`; `unlike`: what was measured otherwise, empty where they may be compared",
    "registry list": "a list, the newest first: `concept`, `version`, `aliases`, `fd_judge`, "
    "`r_precision`, `phi_ref`, `run`",
    "registry show": "`concept`, `version`, `aliases`, `metrics`, `run`, `source`, `tags`; "
    "`audit`: a list of `time`, `action`, `version`, `previous`, `who`, `why`, `verdict`",
    "rehearse": "`would_run`; `problems`, `notes`, `unchecked`: lists of sentences; `estimate`, "
    "null where the checks said enough: `seconds` and `processor`, `steps` (a list of `step`, "
    "`times`, `seconds` with `low`, `expected`, `high`, `peak`, `gpu`, `written`), `sizes`, "
    "`images`, `peak`, `gpu`, `store`, `tracking`, `outputs`; `batch_bytes`, `device`, "
    "`price_per_hour`, `money`, `rehearsal_seconds`",
    "retrain": "a list: `concept`, `action` (`unchanged`, `promoted`, `challenger`, `failed`), "
    "`reason`, `changed`, `version`, `metrics`, `champion` (metrics of the one before), `run_id`; "
    "with `--dry-run` `file`, `changed`",
    "runs list": "a list, the newest first: `name`, `folder`, `concept`, `seed`, `outcome`, "
    "`finished`, `cycles`, `kept_cycle`, `mlflow_run`, `bytes` (of the folder alone)",
    "runs show": "one of these, and `files`",
    "stack check": "a list: `state` (`ok`, `FAIL`, `skip`), `what`, `said`",
    "review": "`set`; `images`, `kept`, `dropped`, `undecided`, `rated`, `captioned`: of "
    "images what holds; `decisions`: all that were made; `people`: of these by who made them",
}
"""What each command's ``--json`` holds."""

TAIL = """
## Shell completion

Of commands and options; click's own, a line in the shell's start file:

| shell | line |
|---|---|
| bash | `eval "$(_COTI_COMPLETE=bash_source coti)"` in `~/.bashrc` |
| zsh | `eval "$(_COTI_COMPLETE=zsh_source coti)"` in `~/.zshrc` |
| fish | `_COTI_COMPLETE=fish_source coti \\| source` in `~/.config/fish/completions/coti.fish` |

## All commands
"""


def every_command() -> Iterator[tuple[str, click.Context]]:
    """Words after ``coti``, and a context of each command and group, in order."""
    # With its own settings: -h is one of them.
    context = click.Context(cli, info_name="coti", max_content_width=WIDTH, **cli.context_settings)
    yield from _below(context, "")


def _below(context: click.Context, words: str) -> Iterator[tuple[str, click.Context]]:
    # A command keeps the help option that it made first, in whatever context that was.
    vars(context.command)["_help_option"] = None
    yield words, context
    command = context.command
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        below = click.Context(inner, context, name, terminal_width=WIDTH)
        yield from _below(below, f"{words} {name}".strip())


def reference() -> str:
    """The whole page."""
    codes = ["| code | meaning | of |", "|---|---|---|"]
    codes += [
        f"| {each.code} | {_cell(each.meaning)} | {_cell(each.commands)} |" for each in EXIT_CODES
    ]
    values = [f"| `{words}` | {_cell(said)} |" for words, said in JSON.items()]
    parts = [HEAD, "\n".join(codes), "\n", JSON_HEAD, "\n".join(values), "\n", TAIL]
    for words, context in every_command():
        context.terminal_width = WIDTH
        parts.append(f"\n### coti {words}".rstrip() + f"\n\n```text\n{context.get_help()}\n```\n")
    return "".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
