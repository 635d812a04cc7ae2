"""One file for every trainer that a set can be exported for.

Another one is one more class of :class:`coti.dataset.trainers.protocol.Trainer` and one line here,
or from outside ``TRAINERS.register("mine", "my_package.mine:Mine")``.
"""

from __future__ import annotations

from coti.core.registry import Registry
from coti.dataset.trainers.protocol import Trainer

__all__ = ["TRAINERS"]

TRAINERS = Registry[type[Trainer]](
    "trainer",
    {
        "diffusers": "coti.dataset.trainers.diffusers:Diffusers",
        "kohya": "coti.dataset.trainers.kohya:Kohya",
        "ai-toolkit": "coti.dataset.trainers.ai_toolkit:AiToolkit",
        "onetrainer": "coti.dataset.trainers.onetrainer:OneTrainer",
        "simpletuner": "coti.dataset.trainers.simpletuner:SimpleTuner",
        "diffusion-pipe": "coti.dataset.trainers.diffusion_pipe:DiffusionPipe",
        "fal": "coti.dataset.trainers.fal:Fal",
    },
    Trainer,
)
"""By the name that ``coti dataset export --for`` takes."""
