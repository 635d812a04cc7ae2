"""A rehearsal's parts: the handful, the counts, what a whole run comes to, the checks."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.rehearse import rehearse as command
from coti.generation.sampler import SOLVER_STEP
from coti.inversion.latents import DECODING, ENCODING
from coti.inversion.trainer import OPTIMIZER_STEP
from coti.settings import RunSettings
from ops.rehearsal.answer import Answer
from ops.rehearsal.checks import check_inputs
from ops.rehearsal.counts import Sizes, least_counts, least_sizes, more_counts, more_sizes
from ops.rehearsal.estimate import BETWEEN, START, estimate
from ops.rehearsal.handful import HandfulOfPool, count_inputs, take_handful, with_handful
from ops.rehearsal.measured import Measured, Run
from ops.rehearsal.settings_json import settings_from, settings_json
from ops.rehearsal.throw_away import RehearsalError, Rehearsing, throw_away_folder
from ops.rehearsal.units import Units, units
from ops.rehearsal.watch import Sample, StepTaken
from ops.run_file import load_settings
from ops.stack.locations import ROOT

CONFIGS = ("quickstart", "sd15", "sd2", "sdxl", "paper", "style")
WHOLE = Sizes(1_000, 0, 2_048, 10)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_least_is_of_true_size(name: str) -> None:
    """Batches, widths and everything that is not a count stay; two cycles of two steps are left,
    and both runs' settings come whole through the process between."""
    settings = load_settings(ROOT / "configs" / f"{name}.yaml")
    least = least_counts(settings)
    assert least.train.batch_size == settings.train.batch_size
    assert least.generation.batch_size == settings.generation.batch_size
    assert (least.model, least.scorer, least.evaluation) == (
        settings.model, settings.scorer, settings.evaluation,
    )  # fmt: skip
    more = more_counts(settings, least, {OPTIMIZER_STEP: 1e-4, SOLVER_STEP: 1e-5}, 3.0)
    for each in (least, more):
        assert settings_from(settings_json(each)) == each
        trained = [one for one in units(each, least_sizes(WHOLE)) if one.step == "train_cycle"]
        assert len(trained) == 2
    assert more.generation.num_inference_steps == settings.generation.num_inference_steps
    dear = more_counts(settings, least, {OPTIMIZER_STEP: 10.0, SOLVER_STEP: 5.0}, 3.0)
    assert dear.train.max_steps == 1
    assert dear.generation.cycle_images < least.generation.cycle_images


def test_of_cheap_images_more_are_looked_at() -> None:
    """As many as some seconds hold, and no more than there are."""
    least = least_sizes(WHOLE)
    cheap = more_sizes(WHOLE, least, an_input=0.01, a_reference=1e-6, seconds=3.0)
    assert least.inputs < cheap.inputs < cheap.references < WHOLE.references
    dear = more_sizes(WHOLE, least, an_input=1.0, a_reference=9.0, seconds=3.0)
    assert (dear.inputs, dear.references) == (least.inputs, least.references)
    assert more_sizes(replace(WHOLE, inputs=30), least, 0.0, 0.0, 3.0).inputs == 30


def test_a_handful_is_spread_over_the_pool_and_read_by_its_own_source(tmp_path: Path) -> None:
    """The last third, too; a caption comes with its image; the run's own pool is left alone."""
    pool = tmp_path / "pool"
    pool.mkdir()
    for number in range(9):
        (pool / f"{number}.png").write_bytes(b"%d" % number)
        (pool / f"{number}.txt").write_text(f"caption {number}")
    settings = RunSettings(concept="x", seeds=str(pool), pool=str(pool), output=str(tmp_path))
    assert count_inputs(settings.pool, settings.pool_rules) == (9, 9)
    small = with_handful(settings, Sizes(3, 0, 0, 2), tmp_path / "handful")
    assert small.pool == settings.pool
    assert not Path(small.output).is_absolute()
    assert len(list(Path(small.seeds).iterdir())) == 2
    source = HandfulOfPool(small.pool, small.pool_rules)
    found = {each.name: each.caption for each in source.entries()}
    assert found == {"0.png": "caption 0", "3.png": "caption 3", "6.png": "caption 6"}
    before = source.fingerprint()
    take_handful("auto", 4)
    assert HandfulOfPool(small.pool, small.pool_rules).fingerprint() != before


def test_a_tables_rows_are_counted_and_nothing_is_fetched(tmp_path: Path) -> None:
    """Its addresses lead nowhere."""
    with (tmp_path / "urls.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["url"], *([f"http://x.invalid/{n}.png"] for n in range(7))])
    assert count_inputs(str(tmp_path / "urls.csv"), RunSettings().pool_rules) == (7, None)


def test_units_are_what_the_settings_come_to() -> None:
    """The quickstart by hand: six cycles of 35 steps of 16, a φ at step 25, 256 and 16 images."""
    settings = load_settings()
    found = units(settings, replace(WHOLE, accepted=900))
    trained = [each for each in found if each.step == "train_cycle"]
    assert [each.work[OPTIMIZER_STEP] for each in trained] == [35 * 16] * 6
    assert [each.work[DECODING] for each in trained] == [32 + 256 + 16] * 6
    assert [each.work[SOLVER_STEP] for each in trained] == [304 * 10] * 6
    # Half of 5·30 in cycle 0, 15 in each other one, beside ten seeds.
    assert [each.work[ENCODING] for each in trained] == [85, 100, 115, 130, 145, 160]
    early = replace(settings, schedule=replace(settings.schedule, dynamic=True))
    early = replace(early, train=replace(early.train, max_steps=1_000))
    least = [e for e in units(early, WHOLE, early=True) if e.step == "train_cycle"]
    assert least[0].work[OPTIMIZER_STEP] == 3 * 25 * 16


def _run(settings: RunSettings, sizes: Sizes, slow: float, written: int) -> Run:
    """A run on a machine whose times are known: a step's own second, ``slow`` once for each name,
    a hundredth an image; an optimizer step's image 0.1 s, all else 0.001 s."""
    steps, met = [], set()
    for each in units(settings, sizes):
        work = dict(each.work) or {f"{each.step}: image features": each.other}
        samples = {
            kind: [Sample(count, _rate(kind) * count, 2 * _rate(kind) * count)]
            for kind, count in work.items()
            if count
        }
        seconds = 1.0 + sum(each.seconds for some in samples.values() for each in some)
        seconds += 0.01 * each.amount * each.grows
        seconds += 0.0 if each.step in met else slow
        met.add(each.step)
        written_by = 100 + 10 * each.amount
        steps.append(StepTaken(each.step, seconds, samples, 2 * seconds, written=written_by))
    total = sum(step.seconds for step in steps) + 0.5 * len(steps)
    written_bytes = {"outputs": written, "tracking": written}
    return Run(settings, sizes, total, steps, written_bytes, 2 * total)


def _rate(kind: str) -> float:
    return 0.1 if kind == OPTIMIZER_STEP else 0.001


def test_a_known_machine_is_found_again() -> None:
    """Rates, fixed parts and what is done once are told apart, and the whole follows, exactly where
    two sizes were seen."""
    settings = load_settings()
    least = least_counts(settings)
    small, larger = Sizes(24, 20, 16, 10), Sizes(240, 200, 160, 10)
    more = more_counts(settings, least, {}, 3.0)
    runs = (_run(least, small, 5.0, 1_000), _run(more, larger, 0.0, 3_000))
    device = {"resolution": 32, "latents": [4, 4, 4], "device": "cpu", "dtype": "float32"}
    measured = Measured(3.0, runs, 0.25, {}, [], True, device, 6.0, 0.5)
    found = estimate(settings, WHOLE, measured)
    rows = {row.step: row for row in found.steps}
    assert found.sizes.accepted == round(200 / 240 * 1_000)
    assert rows[START].seconds.expected == 3.0
    assert rows[BETWEEN].seconds.expected == pytest.approx(0.5 * rows[BETWEEN].times)
    steps = [e for e in units(settings, found.sizes) if e.step == "train_cycle"]
    expected = sum(1.0 + 0.01 * e.amount + _working(e) for e in steps) + 5.0
    assert rows["train_cycle"].seconds.expected == pytest.approx(expected, rel=0.05)
    judged = rows["judge_cycle"].seconds.expected
    assert judged == pytest.approx(6 * (1.0 + 0.25 + 0.001 * 256) + 5.0, rel=0.05)
    assert found.processor == pytest.approx(2 * found.seconds.expected, rel=0.01)
    assert rows["ingest_pool"].written == 100 + 10 * 1_000
    for row in found.steps:
        assert row.seconds.low <= row.seconds.expected <= row.seconds.high, row.step
    answer = Answer(estimate=found, device=device, price=2.0)
    money = answer.money
    assert money is not None
    assert money.expected == pytest.approx(found.seconds.expected / 1_800)
    assert json.loads(json.dumps(answer.row()))["estimate"]["images"] == 16 + 6 * 304
    assert any(line.startswith("Money") for line in answer.sentences())


def _working(each: Units) -> float:
    return sum(_rate(kind) * count for kind, count in each.work.items())


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    """Each with its key: folders that are not there, too few seeds, weights of no file, and counts
    that metrics and gate will miss."""
    pool = ROOT / "assets" / "pools" / "ankle_boot"
    (tmp_path / "seeds").mkdir()
    shutil.copy(next((pool / "seeds").glob("*.png")), tmp_path / "seeds")
    settings = load_settings()
    bad = replace(
        settings,
        seeds=str(tmp_path / "seeds"),
        pool=str(tmp_path / "nowhere"),
        references=str(tmp_path / "neither"),
        ground_truth=str(tmp_path / "truth.csv"),
        aesthetic=replace(settings.aesthetic, head=str(tmp_path / "head.safetensors")),
        evaluation=replace(settings.evaluation, captions=(), inception=str(tmp_path / "i.pth")),
    )
    found = check_inputs(bad)
    keys = [each.partition(":")[0] for each in found.problems]
    assert keys == [
        "pool", "seeds", "references", "ground_truth", "aesthetic.head", "evaluation.inception",
    ]  # fmt: skip
    assert "at least 2 are needed" in found.problems[1]
    said = " ".join(found.notes)
    assert "FID will be missing, it needs 2048 images on both sides" in said
    assert "promotion.min_samples is 64" in said
    assert "evaluation.captions are missing" in said
    fine = check_inputs(settings)
    assert (fine.problems, fine.notes) == ([], [])
    assert fine.sizes == Sizes(1_020, 0, 1_000, 10)


def test_the_command_says_every_problem_and_ends_with_1(tmp_path: Path) -> None:
    """Nothing is rehearsed then; for a script it is one JSON object."""
    run: dict[str, Any] = {"concept": "x", "seeds": "nowhere", "pool": "neither"}
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps({"parameters": {"config": run}}), encoding="utf-8")
    done = CliRunner().invoke(command, ["-c", str(path), "--json"])
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    keys = [each.partition(":")[0] for each in said["problems"]]
    assert keys[:2] == ["pool", "seeds"]
    assert not said["would_run"]
    assert said["estimate"] is None


def test_a_process_that_ended_before_its_order_says_how(tmp_path: Path) -> None:
    """It waits for its order, so that nothing is read or trained without one; killed, as where
    memory runs out, it is named; nothing of it is left."""
    with throw_away_folder() as folder, Rehearsing(folder) as process:
        process.end()
        with pytest.raises(RehearsalError, match=r"killed \(SIGKILL\)"):
            process.answer({"settings": {}})
    assert not folder.exists()
