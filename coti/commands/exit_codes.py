"""What the exit codes of all commands mean, in one table."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EXIT_CODES", "ExitCode"]


@dataclass(frozen=True)
class ExitCode:
    """One code and who ends with it."""

    code: int
    meaning: str
    commands: str = "all"


EXIT_CODES = (
    ExitCode(0, "it worked; there was nothing to do; a version was promoted"),
    ExitCode(0, "a run's verdict: it worked", "a run, `check`, `curate`"),
    ExitCode(0, "the whole run would go", "`rehearse`"),
    ExitCode(1, "an error, in one sentence with the remedy; a concept failed (`retrain`); a part "
             "of the stack does not work (`stack check`); the answer was no (`runs rm`); the run "
             "would not go (`rehearse`)"),
    ExitCode(2, "a wrong command line"),
    ExitCode(3, "the gate refused", "`registry promote`"),
    ExitCode(4, "a run's verdict: doubtful", "a run, `check`, `curate`"),
    ExitCode(5, "a run's verdict: failed", "a run, `check`, `curate`"),
    ExitCode(10, "trained, and kept as challenger; 0 with `--lenient`", "`retrain`"),
    ExitCode(20, "something changed", "`retrain --dry-run`"),
    ExitCode(130, "Ctrl-C"),
    ExitCode(141, "whoever read the output has ended (`coti … | head`), as of other tools"),
    ExitCode(143, "SIGTERM"),
)  # fmt: skip
"""By code. Those of a run's verdict are kept for it by all commands."""
