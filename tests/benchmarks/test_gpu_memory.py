"""What lives on a GPU, reckoned from shapes."""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.gpu_memory import base_model, by_step, most
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


def test_of_a_base_model_each_part_is_known_in_each_precision() -> None:
    """float32 doubles the weights and takes more for activations, recomputing saves some, float16
    keeps an autoencoder that overflows in float32; a step holds what its own networks need."""
    configs = reduced("sd15", 10, 64)
    for part, depth in (("unet", "layers_per_block"), ("vae", "layers_per_block"),
                        ("text_encoder", "num_hidden_layers")):  # fmt: skip
        configs[part][depth] = 1
    with FakeTensorMode():
        found = base_model(configs, batch=2, generated=2, vectors=2)
    half, full = found["bfloat16"], found["float32"]
    assert full["weights"] == 2 * half["weights"]
    assert full["step"] > half["step"]
    for base in found.values():
        assert base["least"] < base["recomputed"] < base["step"]
        assert base["step"] > base["solver"]
    mixed = found["float16"]
    assert (mixed["step"], mixed["decode"]) == (half["step"], full["decode"])
    assert mixed["weights"] == half["weights"] + full["autoencoder"] // 2
    scorer = {"weights": 10, "batch": 10 << 30}
    steps = by_step(half, {"scorer": scorer, "judge": {"weights": 5, "batch": 1}})
    assert steps["judge_cycle"] == 6
    assert steps["train_cycle"] == half["weights"] + 10 + (10 << 30)
    assert steps["all in one process"] == steps["train_cycle"] + 5
