"""Muon (Jordan et al. 2024): momentum made orthogonal; learns faster a step than AdamW."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def orthogonal(matrix: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """About the nearest semi-orthogonal matrix to [m, n], by Newton-Schulz in float32.

    The paper's bfloat16 is emulated, and slower than the gradient, on a CPU without it.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    unit = matrix / (matrix.norm() + 1e-7)
    wide = unit if unit.shape[0] <= unit.shape[1] else unit.T.contiguous()
    for _ in range(steps):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    turned: torch.Tensor = wide if unit.shape[0] <= unit.shape[1] else wide.T
    return turned


class Muon(torch.optim.Optimizer):
    """Muon for matrices and convolutions; an update is scaled to AdamW's usual size.

    The scale is that of Liu et al. 2025 (0.2 times the root of the longer side), so learning
    rates are AdamW's.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step with the gradients at hand."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                average = state["momentum"]
                average.lerp_(parameter.grad, 1.0 - group["momentum"])
                ahead = parameter.grad.lerp(average, group["momentum"])
                matrix = ahead.reshape(len(ahead), -1)
                scale = 0.2 * max(matrix.shape) ** 0.5
                update = orthogonal(matrix).reshape(parameter.shape)
                parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-scale * group["lr"])


class MixedOptimizer:
    """Muon for what is a matrix inside the network, AdamW for everything else.

    Norms, biases, embeddings and the first and last convolution are AdamW's.
    """

    def __init__(self, model: nn.Module, lr: float, edges: tuple[str, ...] = ()) -> None:
        own = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.names: dict[torch.Tensor, str] = {parameter: name for name, parameter in own}
        inner = [
            parameter
            for name, parameter in own
            if parameter.ndim >= 2
            and "embedding" not in name.replace("time_embedding", "time")
            and not any(edge in name for edge in edges)
        ]
        chosen = set(inner)
        outer = [parameter for _, parameter in own if parameter not in chosen]
        self.parts: tuple[torch.optim.Optimizer, ...] = (
            Muon(inner, lr),
            torch.optim.AdamW(outer, lr=lr, betas=(0.9, 0.98), weight_decay=1e-3),
        )

    def step(self, rate: float) -> None:
        """One step of both at this learning rate; gradients are cleared."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
            part.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state of both as named tensors."""
        return {
            f"{key}/{self.names[parameter]}": value
            for part in self.parts
            for parameter, state in part.state.items()
            for key, value in state.items()
        }

    def restore(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take over what :meth:`tensors` gave."""
        places = {name: parameter for parameter, name in self.names.items()}
        inner = {p for group in self.parts[0].param_groups for p in group["params"]}
        for full, value in tensors.items():
            key, name = full.split("/", 1)
            parameter = places[name]
            part = self.parts[0 if parameter in inner else 1]
            kept = value.clone()
            if key != "step":
                kept = torch.empty_like(parameter).copy_(value)
            part.state[parameter][key] = kept
