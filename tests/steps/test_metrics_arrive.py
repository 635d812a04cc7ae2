"""What the runs of real models ask for, FID and the authors' R-precision, from their images to
every reader: Inception-v3 in its true architecture, of random weights."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from zenml.types import HTMLString

import steps.track_cycle as tracking
from coti.core.image_set import ImageSet
from coti.core.images import read_image_folder
from coti.core.weights import hash_of
from coti.encoders.inception import InceptionEncoder
from coti.encoders.open_clip_encoder import load_image_text_encoder
from coti.experiments.experiment_run import ExperimentResult, run_experiment
from coti.experiments.result_rows import FinishedRun
from coti.experiments.result_tables import write_csv, write_markdown
from coti.inversion.base_model import load_text_to_image
from coti.loop.data import ConceptData, Models
from coti.loop.inputs import Encoders
from coti.metrics.judge import embed_references
from coti.metrics.table import METRICS
from coti.report import RunReport, cycles_table, write_cycles_csv, write_report
from coti.scores.features_to_scores import embed_images
from coti.settings import (
    AestheticSettings,
    ControllerSettings,
    EvaluationSettings,
    GenerationSettings,
    MeasurementSettings,
    ModelSettings,
    PromotionSettings,
    RunSettings,
    TokenSettings,
    TrainSettings,
)
from ops.registry.gate import gate_values, judge_promotion
from ops.stack.loop_inputs import plain
from ops.tracking.mlflow_record import RunRecord
from ops.tracking.tracked_embeddings import cycle_runs, shown_metrics
from ops.tracking.tracker import Tracker
from tests.coti.encoders.test_inception import weights as weights

pytestmark = pytest.mark.slow

NAMES = ("fid", "r_precision_top200_1001")
COUNT = 8
"""Images on both sides. How many are needed is the one thing that is not real here."""
EVALUATION = EvaluationSettings(
    captions=("coat", "bag"), authors_r_precision=True, kid_subsets=2, kid_subset_size=COUNT
)
SETTINGS = RunSettings(
    concept="ankle boot",
    strategy="seeds",
    token=TokenSettings(initializer="foot"),
    aesthetic=AestheticSettings(steps=1),
    train=TrainSettings(max_steps=1, batch_size=2, phi_every=1),
    generation=GenerationSettings(
        num_inference_steps=1, guidance_scale=1.0, phi_images=2, cycle_images=COUNT, sample_images=1
    ),
    evaluation=EVALUATION,
    controller=ControllerSettings(max_cycles=0),
    measurement=MeasurementSettings(images=COUNT, reference_judge=False, edit_images=0),
)


@pytest.fixture(scope="module")
def result(weights: Path) -> ExperimentResult:
    """One cycle on the seeds alone, by the experiments' way through the loop."""
    judge = load_image_text_encoder("assets/models/judge")
    inception = InceptionEncoder(str(weights), hash_of(weights))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "size", COUNT)
        patch.setattr(inception, "size", COUNT)
        folder = Path("assets/pools/ankle_boot")
        names, images = read_image_folder(folder / "seeds", 32)
        seeds = ImageSet(names, images)
        scorer = load_image_text_encoder("assets/models/scorer")
        references = read_image_folder(folder / "references", 32)[1][:COUNT]
        base = load_text_to_image(ModelSettings(dtype="float32"))
        data = ConceptData(
            seeds=seeds,
            pool=seeds,
            features=embed_images(scorer, None, seeds, seeds, ()),
            sources={name: name for name in names},
            references=embed_references(judge, "ankle boot", references, EVALUATION, inception),
        )
        return run_experiment(Models(base, Encoders(scorer), judge, inception), data, SETTINGS)


def test_files_and_pages_have_them(result: ExperimentResult, tmp_path: Path) -> None:
    """The cycle's row and the run's: terminal, CSV, report, the experiments' CSV and Markdown."""
    (cycle,) = result.cycles
    terminal = cycles_table([cycle])
    page = write_report(RunReport("boot", [cycle]), tmp_path / "r.html").read_text("utf-8")
    with write_cycles_csv([cycle], tmp_path / "cycles.csv").open(newline="") as file:
        (written,) = csv.DictReader(file)
    run = FinishedRun("ankle boot", "seeds only", 0, result.row, result.cycles)
    write_csv([run], tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        (measured,) = csv.DictReader(file)
    write_markdown([run], tmp_path / "table.md", "T", [])
    table = (tmp_path / "table.md").read_text("utf-8")
    for name in NAMES:
        metric = METRICS[name]
        assert metric.format(cycle[name]) in terminal
        assert f"<td>{metric.format(cycle[name])}</td>" in page
        assert float(written[name]) == cycle[name]
        assert float(measured[name]) == pytest.approx(result.row[name], rel=1e-5)
        assert metric.heading in table
        assert metric.format(result.row[name]) in table
    assert cycle["fid"] > 0
    assert 0 <= cycle["r_precision_top200_1001"] <= 1


def test_the_record_the_studio_and_the_gate_have_them(
    result: ExperimentResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cycle's run in a real MLflow, what is shown of it, what a version is registered with."""
    row = plain(result.cycles[0])
    assert result.embedding is not None
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", artifact_store=str(tmp_path))
    record = RunRecord.open(
        tracker,
        experiment="ankle boot",
        run_name="run",
        run_key="key",
        timestamp=1000,
        params={},
        tags={},
    )
    # No pipeline runs here, whose record it would be.
    monkeypatch.setattr(tracking, "open_record", lambda *_: record)
    monkeypatch.setattr(tracking, "computed_before", lambda _: None)
    tracking.track_cycle.entrypoint(
        concept="ankle boot",
        history=[{key: None if key in NAMES else value for key, value in row.items()}],
        judged={
            "metrics": {name: row[name] for name in NAMES}, "references": COUNT, "seconds": 1.0
        },
        training={"steps": 1, "stop_reason": "max_steps"},
        curve=pd.DataFrame([{"step": 1, "loss": 1.0, "learning_rate": 0.1, "phi": 1.0}]),
        embedding=result.embedding,
        samples=result.samples,
        scores=None,
        picked=None,
        pool_images=None,
        pool_report=HTMLString(""),
        config={},
        tags={},
    )  # fmt: skip
    (run,) = cycle_runs(record.client, record.parent_id)
    shown = shown_metrics(run.data.metrics)
    registered = gate_values(row, "references", "judge")
    for name in NAMES:
        assert run.data.metrics[f"cycle/{name}"] == pytest.approx(row[name])
        assert shown[METRICS[name].label] == METRICS[name].format(row[name])
        assert registered[name] == row[name]
    bounds = PromotionSettings(min_samples=COUNT, r_precision_floor=0.0)
    assert judge_promotion(registered, None, bounds).promoted
