"""What an experiment leaves for a reader: CSV, Markdown and images, from the runs' records."""

from coti.experiments.comparison import Comparison, compare
from coti.experiments.figures import draw_figures
from coti.experiments.result_rows import COLUMNS, FinishedRun, Summary, summarize
from coti.experiments.result_tables import (
    WRITTEN,
    counted,
    write_csv,
    write_cycles_csv,
    write_markdown,
)

__all__ = [
    "COLUMNS",
    "WRITTEN",
    "Comparison",
    "FinishedRun",
    "Summary",
    "compare",
    "counted",
    "draw_figures",
    "summarize",
    "write_csv",
    "write_cycles_csv",
    "write_markdown",
]
