"""The order that teaches itself: the share of right images, the evidence, what is reached."""

from __future__ import annotations

import pytest
import torch

from coti.encoders.protocol import normalized
from coti.scores.self_training import (
    agreement,
    evidence,
    self_trained,
    unreached,
    upper_part,
)


def normal(rows: int, width: int, seed: int) -> torch.Tensor:
    """Normal values, float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("share", [0.03, 0.1, 0.25, 0.5, 0.8])
def test_the_share_of_the_upper_part_is_found(share: float) -> None:
    """From one start, whatever it is, within a fifth of it."""
    right = round(2000 * share)
    values = normal(2000, 1, 0).squeeze(1)
    values[:right] += 5
    assert float(upper_part(values, 0.1).mean()) == pytest.approx(share, rel=0.2)


def test_a_pool_of_few_or_equal_images_has_no_share() -> None:
    """The start comes back, or a number at least."""
    assert upper_part(torch.ones(3), 0.1).tolist() == [1, 1, 0]
    assert 0 <= float(upper_part(torch.ones(50), 0.1).mean()) <= 1


def test_agreement_is_the_correlation_above_0() -> None:
    """1 for the same order, 0 for the opposite one and for what says nothing."""
    values = torch.arange(9.0)
    assert agreement(values, 3 * values + 1) == pytest.approx(1)
    assert agreement(values, -values) == 0
    assert agreement(values, torch.ones(9)) == 0


def test_evidence_is_standard_and_prefers_what_looks_good() -> None:
    """Mean 0, deviation 1; of equal images the better one is ahead."""
    pool = normalized(normal(50, 8, 4).float())
    pool[1] = pool[0]
    s_aes = torch.linspace(0, 10, 50)
    found = evidence(pool, pool[:3], pool[5], s_aes)
    assert found.dtype == torch.float64
    assert float(found.mean()) == pytest.approx(0, abs=1e-9)
    assert float(found.square().mean()) == pytest.approx(1)
    assert found[1] > found[0]


def test_what_the_seeds_do_not_show_is_learned() -> None:
    """Seeds of one end of a concept's looks: the other end is accepted, other things are not."""
    axes = torch.eye(12)
    looks = torch.linspace(-1, 1, 200)[:, None] * axes[1]
    others = torch.cat([axes[place].expand(100, -1) for place in (3, 4, 5, 6, 7)])
    noise = 0.1 * normal(700, 12, 5).float()
    pool = normalized(noise + torch.cat([axes[0] + looks, others]))
    seeds = normalized(0.05 * normal(5, 12, 6).float() + axes[0] + axes[1])
    order = self_trained(pool, seeds, normalized(axes[0]), torch.full((700,), 7.0))
    accepted = order >= 0
    assert accepted[:200].double().mean() > 0.85
    assert accepted[200:].double().mean() < 0.01


@pytest.mark.parametrize("odd", [0, 1, 2])
@pytest.mark.parametrize("spread", [0.2, 0.3, 0.4])
def test_an_image_unlike_all_lets_no_other_pass(odd: int, spread: float) -> None:
    """Of two normal distributions the wider is the likelier at both ends: one image far below the
    rest is no right one, and what lies between is none either."""
    axes = torch.eye(16)
    right = spread * normal(80, 16, 1).float() + axes[0]
    wrong = 0.03 * normal(320, 16, 2).float() + axes[1]
    pool = normalized(torch.cat([right, wrong, (-axes[:1]).expand(odd, -1)]))
    seeds = normalized(0.1 * normal(5, 16, 3).float() + axes[0])
    accepted = self_trained(pool, seeds, axes[0], torch.full((len(pool),), 6.0)) >= 0
    assert accepted[:80].double().mean() > 0.9
    assert accepted[80:].double().mean() < 0.01


def test_what_is_generated_is_reached() -> None:
    """Generations of the same kind reach nearly all; of one of two kinds, that one alone."""
    first, again, second = (
        normalized(normal(60, 8, seed).float() + shift) for seed, shift in ((7, 0), (8, 0), (9, 3))
    )
    assert unreached(first, again).double().mean() < 0.2
    both = unreached(torch.cat([first, second]), again)
    assert both[60:].double().mean() > 0.9
    assert both[:60].double().mean() < 0.2


def test_one_accepted_image_has_no_neighbours() -> None:
    """Nothing can be said to reach it; of none there is nothing to say."""
    features = normalized(normal(4, 8, 7).float())
    assert unreached(features[:1], features).tolist() == [True]
    assert unreached(features[:0], features).tolist() == []
