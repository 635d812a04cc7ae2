from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from coti.core.errors import EmbeddingError
from coti.generation.prompted import generate_prompts
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import TextToImageModel
from coti.metrics.embedding_quality import ClassNames, measure_embedding
from coti.settings import GenerationSettings

SETTINGS = GenerationSettings(num_inference_steps=2)


class MeanColour:
    """Stands for an image-text model: an image is its mean colour, a text its hash's."""

    name = "mean colour"
    size = 3
    input_size = 32

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        """[n, 3]."""
        return images.float().mean(dim=(2, 3)) - 100

    def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
        """[n, 3], another for each text."""
        rows = [torch.Generator().manual_seed(len(text) * 7 + ord(text[0])) for text in texts]
        return torch.stack([torch.randn(3, generator=generator) for generator in rows])


@pytest.mark.parametrize("kind", ["v_prediction", "sdxl"])
def test_an_embedding_is_measured_on_its_own_images(
    kind: str, load_model: Callable[..., TextToImageModel]
) -> None:
    """Its own generations as references: more alike than noise; every heading has its mean."""
    model = load_model(kind)
    generator = torch.Generator().manual_seed(1)
    parts = [torch.randn(2, width, generator=generator) * 0.4 for width in model.widths]
    embedding = Embedding("<t>", tuple(parts), {}, model.embedding_keys)
    own = generate_prompts(model, ["a photo of a {}"], [embedding], SETTINGS, num_images=4).images
    prompts = {"style": ["a painting of {}", "a dark {}"], "place": ["a {} in a small photo"]}
    found = measure_embedding(
        model,
        MeanColour(),
        embedding,
        own,
        prompts,
        SETTINGS,
        images_per_prompt=4,
        classes=ClassNames(("a", "bb", "ccc"), ("a", "bb")),
    )
    noise = torch.randint(0, 256, own.shape, generator=generator, dtype=torch.uint8)
    other = measure_embedding(
        model, MeanColour(), embedding, noise, prompts, SETTINGS, images_per_prompt=4
    )
    assert found.reconstruction > other.reconstruction
    assert found.editability == pytest.approx(other.editability)
    assert list(found.by_difficulty) == ["style", "place"]
    mean = (2 * found.by_difficulty["style"] + found.by_difficulty["place"]) / 3
    assert found.editability == pytest.approx(mean)
    assert sum(found.shares.values()) == pytest.approx(1)
    row = found.row()
    assert (row["label"], row["num_vectors"], row["encoder"]) == ("<t>", 2, "mean colour")
    assert other.row()["entropy"] is None


def test_a_word_of_the_vocabulary_is_the_baseline(model: TextToImageModel) -> None:
    """No embedding, no vectors; a token that nothing defines is still refused."""
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    found = measure_embedding(
        model, MeanColour(), "boot", images, {"": ["a dark {}"]}, SETTINGS, images_per_prompt=2
    )
    assert (found.label, found.num_vectors) == ("boot", 0)
    with pytest.raises(EmbeddingError, match="uses <t>"):
        measure_embedding(
            model, MeanColour(), "<t>", images, {"": ["a dark {}"]}, SETTINGS, images_per_prompt=2
        )
