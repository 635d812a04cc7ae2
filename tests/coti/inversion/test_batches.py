from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from coti.inversion.batches import BatchPlan
from coti.settings import TokenSettings, TrainSettings


def plan(images: int, batch_size: int = 4, seed: int = 0, **changes: object) -> BatchPlan:
    """A plan for n images with captions of their own."""
    settings = TrainSettings(batch_size=batch_size, **changes)  # type: ignore[arg-type]
    captions = [f"caption {i}" for i in range(images)]
    token = TokenSettings(placeholder_token="<t>")
    return BatchPlan(images, captions, settings, token, (4, 2, 2), 1000, seed)


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 2**32))
def test_an_epoch_shows_every_image_once(images: int, batch_size: int, seed: int) -> None:
    """Read as one sequence, each n draws are a permutation, whatever the batch size."""
    batches = plan(images, batch_size, seed)
    steps = -(-2 * images // batch_size)
    drawn = torch.cat([batches.batch(step).images for step in range(steps)])
    for epoch in range(2):
        part = drawn[epoch * images : (epoch + 1) * images]
        assert sorted(part.tolist()) == list(range(images))


def test_a_batch_depends_on_seed_and_step_only() -> None:
    """No state: any step can be drawn at any time."""
    first, again = plan(10), plan(10)
    again.batch(3)
    for name in ("images", "prompts", "timesteps", "posterior_noise", "noise"):
        assert torch.equal(getattr(first.batch(7), name), getattr(again.batch(7), name))
        assert not torch.equal(
            getattr(first.batch(7), name), getattr(plan(10, seed=1).batch(7), name)
        )


def test_captions_are_templates_by_default() -> None:
    """All 27 come up, nothing else does."""
    batches = plan(5, 16)
    used = torch.cat([batches.batch(step).prompts for step in range(40)]).unique()
    assert used.tolist() == list(range(27))
    assert batches.prompts[0] == "a photo of a <t>"


def test_own_captions_belong_to_their_images() -> None:
    """With captions: pool each image has its own, after the token."""
    batches = plan(5, 16, captions="pool")
    batch = batches.batch(0)
    for image, prompt in zip(batch.images, batch.prompts, strict=True):
        assert batches.prompts[prompt] == f"<t> caption {image}"


def test_both_kinds_are_mixed_and_dropped() -> None:
    """About half templates, half own; dropout gives the bare token to its share."""
    batches = plan(5, 1000, captions="both", caption_dropout=0.2)
    prompts = batches.batch(0).prompts
    share_bare = float((prompts == 27).float().mean())
    share_own = float((prompts > 27).float().mean())
    assert abs(share_bare - 0.2) < 0.05
    assert abs(share_own - 0.4) < 0.05


def test_mirrored_images_follow_the_upright_ones() -> None:
    """With horizontal_flip half of the rows are n, n + 1, …."""
    rows = plan(5, 1000, horizontal_flip=True).batch(0).images
    assert int(rows.max()) <= 9
    assert abs(float((rows >= 5).float().mean()) - 0.5) < 0.06
    assert int(plan(5, 1000).batch(0).images.max()) == 4


@given(st.integers(1, 40), st.integers(0, 2**32), st.integers(0, 1000))
def test_stratified_timesteps_take_one_of_each_part(size: int, seed: int, step: int) -> None:
    """Of ``batch_size`` equal parts of the schedule, in any order."""
    drawn = plan(10, size, seed, timesteps="stratified").batch(step).timesteps
    assert drawn.dtype == torch.int64
    edges = torch.arange(size + 1, dtype=torch.float64) * 1000 / size
    for place, value in enumerate(drawn.sort().values.tolist()):
        assert edges[place] - 1 <= value < edges[place + 1], (place, value)


def test_stratified_timesteps_are_uniform_one_by_one() -> None:
    """Over many steps each place of the batch sees the whole schedule."""
    batches = plan(10, 4, timesteps="stratified")
    first = torch.stack([batches.batch(step).timesteps[0] for step in range(400)]).double()
    assert abs(float(first.mean()) - 499.5) < 50
    assert first.min() < 50
    assert first.max() > 949
