"""Algorithm 1 in one process, on the bundled models, and the runs of experiments made of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from coti.core.errors import ConfigError
from coti.core.image_set import ImageSet
from coti.core.images import read_image_folder
from coti.core.tensors import TensorBundle
from coti.encoders.open_clip_encoder import load_image_text_encoder
from coti.experiments.experiment_run import run_experiment, run_selection
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import load_text_to_image
from coti.loop import learn as loop
from coti.loop.data import ConceptData, Models
from coti.loop.inputs import Encoders
from coti.loop.learn import learn, select_at_once
from coti.loop.measurement import measure
from coti.loop.plan import effective
from coti.loop.state import LoopState
from coti.loop.training_set import TrainingSet
from coti.loop.uses import USES
from coti.metrics.class_blind import judge_training_set
from coti.metrics.judge import embed_references
from coti.metrics.table import METRICS
from coti.scores.features_to_scores import embed_images
from coti.settings import (
    AestheticSettings,
    ControllerSettings,
    EvaluationSettings,
    GenerationSettings,
    MeasurementSettings,
    ModelSettings,
    RunSettings,
    SelectionSettings,
    TokenSettings,
    TrainSettings,
)

POOL = Path("assets/pools/ankle_boot")
EVALUATION = EvaluationSettings(captions=("coat", "bag"), kid_subsets=3, kid_subset_size=20)
TINY = RunSettings(
    concept="ankle boot",
    token=TokenSettings(initializer="foot"),
    aesthetic=AestheticSettings(steps=5),
    selection=SelectionSettings(batch=4),
    train=TrainSettings(max_steps=2, batch_size=2, phi_every=1),
    generation=GenerationSettings(
        num_inference_steps=1,
        guidance_scale=1.0,
        phi_images=4,
        cycle_images=64,
        sample_images=2,
    ),
    evaluation=EVALUATION,
    controller=ControllerSettings(max_cycles=1),
    measurement=MeasurementSettings(images=64, reference_judge=False, edit_images=2),
    baseline_images=5,
)


PLAIN = replace(TINY, measurement=replace(TINY.measurement, edit_images=0))
"""Without the slowest metrics."""


@pytest.fixture(scope="module")
def models() -> Models:
    """The bundled models, without the reference judge."""
    return Models(
        load_text_to_image(ModelSettings(dtype="float32")),
        Encoders(load_image_text_encoder("assets/models/scorer")),
        load_image_text_encoder("assets/models/judge"),
    )


@pytest.fixture(scope="module")
def data(models: Models) -> ConceptData:
    """Ten seeds, twenty images of a pool of which every second one is clean."""
    names, images = read_image_folder(POOL / "seeds", 32)
    _, references = read_image_folder(POOL / "references", 32)
    pool = ImageSet([f"p{i:02d}" for i in range(20)], references[-20:])
    pool.images[::2] = torch.randint(0, 255, (10, 3, 32, 32), dtype=torch.uint8)
    seeds = ImageSet(names, images)
    return ConceptData(
        seeds=seeds,
        pool=pool,
        features=embed_images(models.encoders.scorer, None, pool, seeds, (), "ankle boot"),
        captions=dict.fromkeys(pool.names, "a boot"),
        sources={name: f"{name}.png" for name in (*pool.names, *names)},
        references=embed_references(models.judge, "ankle boot", references[:64], EVALUATION),
        ground_truth={f"{name}.png": i % 2 == 1 for i, name in enumerate(pool.names)},
    )


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["coti", "random", "vlad", "self_trained"])
def test_a_strategy_of_cycles_adds_b_images_a_cycle(
    models: Models, data: ConceptData, strategy: str
) -> None:
    """Two cycles, each with half of N·B more; the cap of image-steps holds; metrics are there."""
    run = replace(TINY, strategy=strategy, growth="cycles")
    result = run_experiment(models, data, run)
    assert [row["picked"] for row in result.cycles] == [2, 2]
    assert 0 < result.row["image_steps"] <= run.image_step_cap == 8
    assert result.row["fd_judge"] > 0
    assert -1 <= result.row["reconstruction"] <= 1
    assert -1 <= result.row["editability"] <= 1
    assert result.samples.names[:2] == ["c0-0000", "c0-0001"]
    assert result.samples.names[-1] == "final-0001"


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "selected"), [("seeds", 0), ("full", 20), ("oracle", 5)])
def test_a_strategy_without_cycles_may_take_as_many_steps(
    models: Models, data: ConceptData, strategy: str, selected: int
) -> None:
    """One cycle with the steps of two; only the oracle's images are right by construction."""
    run = replace(TINY, strategy=strategy)
    result = run_experiment(models, data, run)
    assert len(result.selected) == selected
    assert len(result.cycles) == 1
    assert result.row["image_steps"] <= run.image_step_cap
    assert result.row["selection_precision"] == {0: None, 5: 1.0, 20: 0.5}[selected]


def test_without_ti_the_model_generates_the_name(models: Models, data: ConceptData) -> None:
    """No steps, no embedding, yet metrics and samples."""
    result = run_experiment(models, data, replace(TINY, strategy="none"))
    assert result.embedding is None
    assert result.row["image_steps"] == 0
    assert result.row["r_precision_candidates"] == 3
    assert len(result.samples) == 2


def test_images_without_a_caption_are_trained_with_one_of_ours(
    models: Models, data: ConceptData
) -> None:
    """As if pool and seeds had said it; without being asked nothing is added."""
    run = replace(PLAIN, strategy="seeds", train=replace(TINY.train, captions="pool"))
    tags = replace(run.captioner, tags=("sharp | zebra",), template="it is {}")
    auto = learn(models, replace(data, captions={}), replace(run, captions="auto", captioner=tags))
    said = dict.fromkeys(data.seeds.names, "it is sharp")
    learned = learn(models, replace(data, captions=said), run)
    silent = learn(models, replace(data, captions={}), replace(run, captioner=tags))
    (found,), (wanted,), (other,) = (r.embedding.parts for r in (auto, learned, silent))
    assert torch.equal(found, wanted)
    assert not torch.equal(found, other)


class MeanColour:
    """A class-blind judge whose features are mean colours."""

    name = "mean colour"
    size = 3

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 [n, 3, h, w] to float32 [n, 3]."""
        return images.float().mean(dim=(2, 3))


def test_what_is_measured_untrained_is_so_on_the_runs_threads(
    models: Models, data: ConceptData
) -> None:
    """The class-blind judge, too, on whose float32 sums their number bears."""
    seen = set()

    class Watched(MeanColour):
        def encode_images(self, images: torch.Tensor) -> torch.Tensor:
            seen.add(torch.get_num_threads())
            return super().encode_images(images)

    assert data.references is not None
    references = TensorBundle({**data.references.tensors, "ssl_references": torch.rand(6, 3)})
    threads = torch.get_num_threads() + 1
    run_selection(
        replace(models, ssl_judge=Watched()),
        replace(data, references=references),
        replace(PLAIN, strategy="random", threads=threads),
    )
    assert seen == {threads}


@pytest.mark.parametrize("real", [6, 5])
def test_what_x_t_is_worth_is_measured_of_its_images(
    models: Models, data: ConceptData, real: int
) -> None:
    """Of seeds and picked images, untrained; with as few references as neighbours it is missing."""
    blind, features = MeanColour(), torch.rand(real, 3)
    assert data.references is not None
    references = TensorBundle(
        {**data.references.tensors, "ssl_references": features}, data.references.metadata
    )
    embedding = Embedding.initial(models.base, TINY.token, 0, TINY.concept)
    found = measure(
        replace(models, ssl_judge=blind),
        replace(data, references=references),
        replace(PLAIN, measurement=MeasurementSettings(images=4, edit_images=0)),
        embedding,
        TrainingSet(tuple(data.seeds.names), ("p03", "p07"), (1, 1)),
    )
    if real == 5:
        assert "xt_fd_ssl" not in found
        return
    images = torch.cat([data.seeds.images, data.pool.tensor(["p03", "p07"])])
    expected = judge_training_set(blind.encode_images(images), features)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(("size", "measured"), [(8, True), (9, False)])
def test_too_few_images_leave_the_reference_judges_distance_out(
    models: Models, data: ConceptData, size: int, measured: bool
) -> None:
    """Eight generations: enough for eight features, and not for nine."""
    network: Any = SimpleNamespace(size=size, encode_images=lambda images: torch.rand(8, size))
    found = measure(
        replace(models, reference_judge=lambda: network),
        replace(data, reference_judge=torch.rand(20, size)),
        replace(PLAIN, measurement=MeasurementSettings(images=8, edit_images=0)),
        None,
        None,
    )
    assert ("fd_efficientnet" in found) == measured


@pytest.mark.slow
def test_the_same_run_gives_the_same_numbers(models: Models, data: ConceptData) -> None:
    """All but the seconds."""
    first, second = (run_experiment(models, data, PLAIN).row for _ in range(2))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_the_embedding_of_the_nearest_cycle_is_kept(models: Models, data: ConceptData) -> None:
    """Each cycle's distance to X_T and that of the embedding kept before it; the last samples
    are generated with the embedding that these numbers say."""
    run = replace(PLAIN, controller=ControllerSettings(max_cycles=2))
    result = run_experiment(models, data, run)
    best = 0
    for row in result.cycles[1:]:
        best = row["cycle"] if row["kid_train"] <= row["kid_kept"] else best
    assert result.cycles[0]["kid_kept"] is None
    assert result.cycles[0]["kid_train"] > 0
    generated = dict(zip(result.samples.names, result.samples.images, strict=True))
    assert torch.equal(generated["final-0000"], generated[f"c{best}-0000"])


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["coti", "oracle"])
def test_nothing_but_the_oracle_reads_the_ground_truth(
    models: Models, data: ConceptData, strategy: str
) -> None:
    """Turned round it changes the oracle's picks and no other strategy's."""
    assert data.ground_truth is not None
    turned = {name: not right for name, right in data.ground_truth.items()}
    run = replace(PLAIN, strategy=strategy)
    first, second = (
        learn(models, replace(data, ground_truth=each), run).training_set.selected
        for each in (data.ground_truth, turned)
    )
    assert (first == second) == (strategy != "oracle")
    if strategy == "oracle":
        assert all(data.ground_truth[f"{name}.png"] for name in first)
        with pytest.raises(ConfigError, match="ground truth"):
            learn(models, replace(data, ground_truth=None), run)


def test_the_judge_changes_nothing(models: Models, data: ConceptData) -> None:
    """Without judge, references and ground truth: the same images, the same bytes."""
    blind = replace(data, references=None, ground_truth=None)
    first, second = learn(models, data, PLAIN), learn(replace(models, judge=None), blind, PLAIN)
    assert first.training_set == second.training_set
    assert torch.equal(first.embedding.parts[0], second.embedding.parts[0])
    assert all(METRICS[name].steers for name in second.records[0].metrics)
    assert {"fd_judge", "kid", "r_precision"} <= set(first.records[0].metrics)


def test_no_cycle_trains_on_an_unchanged_training_set(models: Models, data: ConceptData) -> None:
    """Where nothing passes the gate the loop ends before the cycle, and says why. All is computed
    with the threads that the settings say."""
    gated = replace(
        PLAIN,
        selection=SelectionSettings(batch=4, aesthetic_gate=10.0),
        controller=ControllerSettings(max_cycles=5),
    )
    found: list[int] = []
    before = torch.get_num_threads()
    result = learn(
        models, data, replace(gated, threads=before + 1),
        on_cycle=lambda *_: found.append(torch.get_num_threads()),
    )  # fmt: skip
    assert (found, torch.get_num_threads()) == ([before + 1], before)
    assert len(result.records) == 1
    assert "no image of the pool that is left passes the gates" in result.decision.reason


def test_a_seed_that_is_in_the_pool_too_is_no_candidate(models: Models, data: ConceptData) -> None:
    """The pool is exhausted once all but the seeds are in X_T."""
    both = ImageSet(data.seeds.names[:3], data.seeds.images[:3])
    features = embed_images(models.encoders.scorer, None, both, data.seeds, (), "boot")
    narrow = replace(data, pool=both, features=features)
    open_gate = replace(PLAIN, selection=SelectionSettings(batch=4, concept_gate=0.0))
    result = learn(models, narrow, open_gate)
    assert [record.pool_left for record in result.records] == [0]
    assert "no image left to pick" in result.decision.reason


def test_a_growth_that_misfits_is_refused() -> None:
    """S_int at once, and an oracle by cycles."""
    with pytest.raises(ConfigError, match="growth to cycles"):
        effective(RunSettings(strategy="coti", growth="at_once"))
    with pytest.raises(ConfigError, match="growth to at_once"):
        effective(RunSettings(strategy="oracle", growth="cycles"))


def test_all_strategies_have_one_cap_of_image_steps() -> None:
    """At once: one cycle with the steps of all."""
    run = effective(replace(TINY, strategy="random"))
    assert (run.controller.max_cycles, run.train.max_steps) == (0, 4)
    assert run.image_step_cap == effective(TINY).image_step_cap == 8


@pytest.mark.slow
def test_a_station_needs_no_settings_but_those_it_says(
    models: Models, data: ConceptData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all others at their defaults, as its step is given them, the result is the same."""
    run = replace(
        PLAIN,
        seed=3,
        token=replace(PLAIN.token, num_vectors=2, norm_control="rescale"),
        concept_score=replace(PLAIN.concept_score, kind="knn", neighbours=2),
        schedule=replace(PLAIN.schedule, dynamic=False),
    )
    whole = learn(models, data, run)
    for name in ("finetune_aesthetic_scorer", "fit_concept_scorer", "score_pool", "train_cycle",
                 "judge_cycle"):  # fmt: skip
        station = getattr(loop, name)

        def narrowed(*given: Any, _name: str = name, _of: Any = station, **more: Any) -> Any:
            def narrow(each: Any) -> Any:
                return each.only(*USES[_name]) if isinstance(each, RunSettings) else each

            return _of(*map(narrow, given), **{key: narrow(each) for key, each in more.items()})

        monkeypatch.setattr(loop, name, narrowed)
    narrow = learn(models, data, run)
    assert narrow.training_set == whole.training_set
    assert torch.equal(narrow.embedding.parts[0], whole.embedding.parts[0])
    first, second = (
        [replace(r, seconds=0.0, judge_seconds=0.0) for r in each.records]
        for each in (narrow, whole)
    )
    assert first == second


def test_a_seed_is_rated_by_its_file_name(
    models: Models, data: ConceptData, tmp_path: Path
) -> None:
    """Seeds are named by hash inside; a user knows their files."""
    ratings = tmp_path / "ratings.csv"
    seed_file = data.sources[data.seeds.names[0]]
    ratings.write_text(f"file_name,rating\n{seed_file},2\np01.png,9\n", encoding="utf-8")
    rated = replace(PLAIN, aesthetic=replace(PLAIN.aesthetic, user_ratings=str(ratings)))
    state = LoopState(TrainingSet(tuple(data.seeds.names)))
    heads = [
        loop.finetune_aesthetic_scorer(
            state, data.features, data.sources, data.seeds, models.encoders, run
        )
        for run in (PLAIN, rated)
    ]
    scores = [head.score(data.features["seeds"][:1]) for head in heads]
    assert scores[1] < scores[0]


def test_what_is_selected_at_once_is_what_would_be_trained_on(
    models: Models, data: ConceptData
) -> None:
    """Without training the same X_T and the same of its metrics; by cycles there is none."""
    run = replace(PLAIN, strategy="random")
    trained, alone = run_experiment(models, data, run).row, run_selection(models, data, run)
    assert {"selection_precision", "images"} < set(alone)
    assert all(trained[name] == alone[name] for name in alone if name != "seconds")
    seeds = select_at_once(models, data, replace(run, strategy="seeds"))
    assert (seeds.seeds, seeds.selected) == (tuple(data.seeds.names), ())
    with pytest.raises(ConfigError, match="known after training alone"):
        run_selection(models, data, replace(run, strategy="coti"))
