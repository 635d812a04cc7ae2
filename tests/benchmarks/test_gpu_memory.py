"""What lives on a GPU, reckoned from shapes."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.gpu_memory import by_step, generating, model_of, most, training
from coti.inversion.families.random_base_model import reduced


def test_the_most_that_is_alive_at_once_is_counted() -> None:
    """What is dropped counts no more, a view and a change in place never, what was there before
    neither."""
    given = torch.zeros(1_000)

    def work() -> torch.Tensor:
        first = given + 1  # 4,000 bytes
        second = first.view(10, 100).mul(2)  # 8,000
        del first
        second.add_(1)
        return second[:1] * 3  # 4,000 and 400

    assert most(work) == 8_000
    assert most(lambda: given.view(10, 100).add_(1)) == 0


def test_a_step_holds_what_its_own_networks_need() -> None:
    """The weights of these and the largest of their works; one process all weights."""
    base = {"weights": 100, "step": 40, "solver": 10, "decode": 20, "encode": 30}
    scorer, judge = {"weights": 10, "batch": 50}, {"weights": 5, "batch": 1}
    steps = by_step(base, {"scorer": scorer, "judge": judge})
    assert steps["initialize_embedding"] == 100 + 20
    assert steps["embed_pool"] == 10 + 50
    assert steps["judge_cycle"] == 5 + 1
    assert steps["train_cycle"] == 100 + 10 + 50
    assert steps["all in one process"] == 100 + 10 + 5 + 50


@pytest.mark.slow
def test_training_keeps_more_than_recomputing_and_than_generating() -> None:
    """On a narrow, shallow model of 512², without a tensor that has content."""
    configs = reduced("sd15", 10, 512)
    depths = {"unet": "layers_per_block", "vae": "layers_per_block"}
    for part, depth in {**depths, "text_encoder": "num_hidden_layers"}.items():
        configs[part][depth] = 1
    with FakeTensorMode():
        model = model_of(configs, torch.bfloat16)
        kept = training(model, 2, 2, recompute=False)
        recomputed = training(model, 2, 2, recompute=True)
        solver, decode = generating(model, 2)
    assert recomputed < kept
    assert 0 < solver < kept
    assert decode > 2 * 3 * 512**2 * 4
