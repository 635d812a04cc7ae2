"""One table of metrics: a row more is all that a new one needs, and nothing measured is lost."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from coti.experiments import result_tables
from coti.experiments.result_rows import FinishedRun
from coti.experiments.result_tables import write_csv, write_markdown
from coti.loop import record as records
from coti.loop.record import CycleRecord
from coti.metrics.judge import embed_references, judge_images
from coti.metrics.table import METRICS, Metric
from coti.report import RunReport, cycles_table, write_cycles_csv, write_report
from coti.settings import EvaluationSettings

NEW = Metric("sharpness", "sharpness", "how sharp generations are", "higher", 3)
CAREFUL = ("fid", "r_precision_top200_1001")
"""What the runs of real models ask for."""


@pytest.fixture
def one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row more; the columns that were made of the table at import are made again."""
    monkeypatch.setitem(METRICS, NEW.name, NEW)
    columns = tuple(CycleRecord(0, 0, 0, 0, 0, 0, 0.0).row())
    monkeypatch.setattr(records, "CYCLE_COLUMNS", columns)
    # The package has a function of the module's name.
    monkeypatch.setattr(sys.modules["coti.report.cycles_table"], "CYCLE_COLUMNS", columns)
    before = result_tables.COLUMNS
    monkeypatch.setattr(result_tables, "COLUMNS", (*before, NEW.name))


@pytest.mark.usefixtures("one_more")
@pytest.mark.parametrize("name", [NEW.name, *CAREFUL])
def test_a_metric_of_the_table_arrives_everywhere(name: str, tmp_path: Path) -> None:
    """Rows and back, terminal, CSV, page, and the experiments' CSV and Markdown."""
    label, short = METRICS[name].label, METRICS[name].short or METRICS[name].label
    row = CycleRecord(0, 9, 0, 5, 1, 8, 1.0, metrics={"phi_ref": 9.0, name: 0.625}).row()
    assert row[name] == 0.625
    assert CycleRecord.of(row).metrics == {"phi_ref": 9.0, name: 0.625}
    shown = cycles_table([row])
    assert "0.625" in shown
    assert short.split()[0] in shown
    with write_cycles_csv([row], tmp_path / "cycles.csv").open(newline="") as file:
        assert float(next(csv.DictReader(file))[name]) == 0.625
    page = write_report(RunReport("boot", [row]), tmp_path / "report.html").read_text("utf-8")
    assert label in page
    assert "0.625" in page
    run = FinishedRun("boot", "COTI", 0, {"image_steps": 8, "seconds": 1.0, name: 0.625})
    write_csv([run], tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        assert float(next(csv.DictReader(file))[name]) == 0.625
    write_markdown([run], tmp_path / "table.md", "T", [])
    text = (tmp_path / "table.md").read_text("utf-8")
    assert METRICS[name].heading in text
    assert "0.625" in text


def test_every_reader_writes_a_metric_alike() -> None:
    """The terminal's cycles and the experiments' tables: the same decimals, the interval's too."""
    metrics = {"fd_judge": 12.34567, "kid": 0.0123456, "kid_low": 0.00123456, "kid_high": 0.023456}
    written = ("12.346", "0.0123 [0.0012, 0.0235]")
    shown = cycles_table([CycleRecord(0, 9, 0, 5, 1, 8, 1.0, metrics=metrics).row()])
    table = result_tables.table_lines([FinishedRun("boot", "COTI", 0, metrics)])
    assert all(text in shown and text in table[-1] for text in written)


class MeanColour:
    """An image-text model whose features are mean colours."""

    name = "mean colour"
    size = 5  # as if it had more
    input_size = 4

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """Mean of each channel, 0 to 1."""
        return images.float().mean(dim=(2, 3)) / 255

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """An axis each."""
        return torch.eye(3)[torch.arange(len(texts)) % 3]


def verdict(images: int, captions: tuple[str, ...]) -> dict[str, float]:
    """Of so many noise images against eight."""
    settings = EvaluationSettings(
        captions=captions, imagenet_captions=0, kid_subsets=2, kid_subset_size=4
    )
    generator = torch.Generator().manual_seed(0)
    real = torch.randint(0, 256, (8, 3, 4, 4), generator=generator, dtype=torch.uint8)
    judge = MeanColour()
    references = embed_references(judge, "cat", real, settings)
    return judge_images(judge, real[:images], references, "cat", settings, 0)


def test_what_cannot_be_measured_is_missing_and_not_perfect() -> None:
    """One candidate caption: no R-precision. Four images of five features: KID alone."""
    assert "r_precision" not in verdict(8, ())
    assert "r_precision" in verdict(8, ("dog",))
    assert "fd_judge" in verdict(8, ())
    few = verdict(4, ())
    assert "fd_judge" not in few
    assert {"kid", "kid_low", "kid_high"} <= set(few)
    missing = CycleRecord(0, 9, 0, 5, 1, 8, 1.0, metrics=few).row()
    assert missing["fd_judge"] is None
    assert missing["r_precision"] is None
