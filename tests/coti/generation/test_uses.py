"""A style and a fairer embedding, learned and used on the bundled model."""

from __future__ import annotations

import pytest
import torch

from coti.core.images import read_image_folder
from coti.encoders.open_clip_encoder import load_image_text_encoder
from coti.generation.prompted import generate_prompts
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel, load_text_to_image
from coti.inversion.trainer import train_cycle
from coti.metrics.embedding_quality import ClassNames, measure_embedding
from coti.settings import (
    GenerationSettings,
    ModelSettings,
    ScheduleSettings,
    TokenSettings,
    TrainSettings,
)
from ops.quiet import ROOT

pytestmark = pytest.mark.slow

USES = ROOT / "assets" / "uses"
GENERATION = GenerationSettings(guidance_scale=1.5)
NAMES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)


@pytest.fixture(scope="module")
def bundled() -> TextToImageModel:
    """The bundled base model."""
    return load_text_to_image(ModelSettings(base_model=str(ROOT / "assets/models/base")))


def learn(model: TextToImageModel, seeds: str, token: TokenSettings, steps: int) -> Embedding:
    """An embedding from a folder of images, three quarters of the steps at 5e-3."""
    _, images = read_image_folder(USES / seeds, model.resolution)
    embedding, still = Embedding.initial(model, token), ScheduleSettings(dynamic=False)
    for rate, count in ((5e-3, 3 * steps // 4), (1e-3, steps // 4)):
        train = TrainSettings(learning_rates=(rate,), max_steps=count, checkpoint_every=0)
        embedding = train_cycle(
            model, images, None, embedding, train, still, None, 0, token=token
        ).embedding
    return embedding


def test_a_style_is_learned_and_composed(bundled: TextToImageModel) -> None:
    """Negatives of every class teach a style; things then stand on white, also another's."""
    token = TokenSettings(
        placeholder_token="<negative>", initializer="style", learnable_property="style"
    )
    style = learn(bundled, "negative/seeds", token, 100)
    other = Embedding.initial(
        bundled, TokenSettings(placeholder_token="<shoe>", initializer="foot", num_vectors=1)
    )
    prompts = ["a photo of a top", "a photo of a top in the style of <negative>"]
    prompts.append("a photo of a <shoe> in the style of <negative>")
    generated = generate_prompts(bundled, prompts, [other, style], GENERATION, num_images=16).images
    corners = generated[..., :3, :3].float().mean(dim=(1, 2, 3)).split(16)
    plain, styled, composed = (float(corner.mean()) for corner in corners)
    assert plain < 60
    assert styled > plain + 100
    assert composed > plain + 100


def test_a_fairer_embedding_is_evener(bundled: TextToImageModel) -> None:
    """Learned from ten images each of three classes: more entropy and a smaller largest share
    than the base model's own word, over two seeds, by the judge.
    """
    token = TokenSettings(placeholder_token="<footwear>", initializer="foot")
    embedding = learn(bundled, "footwear/seeds", token, 100)
    judge = load_image_text_encoder(str(ROOT / "assets/models/judge"))
    _, references = read_image_folder(USES / "footwear/references", bundled.resolution)
    classes = ClassNames(NAMES, ("sandal", "sneaker", "ankle boot"))
    found: dict[str, torch.Tensor] = {}
    for label, each in (("foot", "foot"), ("learned", embedding)):
        rows = [
            measure_embedding(
                bundled,
                judge,
                each,
                references,
                {"": ["a photo of a {}"]},
                GENERATION,
                seed,
                images_per_prompt=32,
                classes=classes,
            )
            for seed in range(2)
        ]
        found[label] = torch.tensor([[row.entropy or 0, row.largest_share or 1] for row in rows])
    plain, learned = found["foot"].mean(dim=0), found["learned"].mean(dim=0)
    assert learned[0] > plain[0], f"entropy {learned[0]:.3f}, the base model's {plain[0]:.3f}"
    assert learned[1] < plain[1], f"largest share {learned[1]:.3f}, {plain[1]:.3f}"
