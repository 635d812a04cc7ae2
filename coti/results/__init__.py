"""What an experiment leaves for a reader: CSV, Markdown and pictures, from the cells' records."""

from coti.results.comparison import Comparison, compare
from coti.results.figures import draw_figures
from coti.results.records import COLUMNS, Cell, Summary, summarize
from coti.results.tables import counted, write_csv, write_cycles_csv, write_markdown

__all__ = [
    "COLUMNS",
    "Cell",
    "Comparison",
    "Summary",
    "compare",
    "counted",
    "draw_figures",
    "summarize",
    "write_csv",
    "write_cycles_csv",
    "write_markdown",
]
