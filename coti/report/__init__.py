"""What a run leaves for people: one page, one CSV and one table for the terminal."""

from coti.report.cycles_table import cycles_table, write_cycles_csv
from coti.report.page import Card, RunReport, write_report

__all__ = [
    "Card",
    "RunReport",
    "cycles_table",
    "write_cycles_csv",
    "write_report",
]
