"""``coti.learn`` and ``coti.check`` on a pipeline and images, from any working directory."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import coti
from coti.api.given import settings_of
from coti.core.errors import ConfigError, CotiError, EmbeddingError, ModelError, PoolError
from coti.core.quiet_libraries import quiet_libraries
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import load_text_to_image
from coti.inversion.pipeline_model import model_of_pipeline
from coti.loop.learn import learn
from coti.loop.load_models import load_models
from coti.pool.concept_data import concept_data
from coti.settings import ModelSettings, RunSettings

ROOT = Path(__file__).resolve().parents[3]
BOOTS = ROOT / "assets" / "pools" / "ankle_boot"
TINY: dict[str, Any] = {
    "aesthetic": {"steps": 5},
    "selection": {"batch": 2},
    "train": {"max_steps": 2, "batch_size": 2},
    "generation": {"num_inference_steps": 1, "cycle_images": 4, "sample_images": 2},
    "controller": {"max_cycles": 1},
    "evaluation": {"captions": ["coat"], "ssl_judge": None},
}


def pipeline(folder: Path) -> Any:
    """The pipeline of a folder, as a user loads it."""
    from diffusers import DiffusionPipeline

    with quiet_libraries(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return DiffusionPipeline.from_pretrained(str(folder), torch_dtype=torch.float32)


@pytest.fixture(scope="module")
def pipe() -> Any:
    """The bundled model's; nothing here changes it but by a token of its own."""
    return pipeline(ROOT / "assets" / "models" / "base")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of a pool."""
    made = tmp_path_factory.mktemp("given") / "pool"
    made.mkdir()
    for path in sorted((BOOTS / "pool").glob("*.png"))[:12]:
        (made / path.name).write_bytes(path.read_bytes())
    return made


def opened(folder: Path) -> list[Image.Image]:
    """Its images, read, so that no file stays open where one is refused."""
    images = [Image.open(path) for path in sorted(folder.iterdir())]
    for image in images:
        image.load()
    return images


@pytest.mark.slow
def test_it_learns_what_the_loop_learns_from_folders(
    pipe: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit, with all in memory, and models found from elsewhere; references are judged."""
    references = opened(BOOTS / "seeds")[:4]
    seeds, pool = opened(BOOTS / "seeds")[:3], opened(folder)
    own = tmp_path / "seeds"
    own.mkdir()
    for path in sorted((BOOTS / "seeds").iterdir())[:3]:
        (own / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    cycles: list[int] = []
    result = coti.learn(
        pipe, seeds, pool, concept="ankle boot", token="<boot>", initializer="foot",
        references=references, on_cycle=lambda record, *_: cycles.append(record.cycle), **TINY,
    )  # fmt: skip
    monkeypatch.chdir(ROOT)
    settings = settings_of(
        "a test", "bundled", None, TINY, concept="ankle boot", token="<boot>", initializer="foot"
    )
    settings = replace(settings, seeds=str(own), pool=str(folder))
    base = load_text_to_image(ModelSettings(device="cpu", dtype="float32"))
    models = load_models(settings, base, str, judged=False)
    wanted = learn(models, concept_data(settings, models), settings)
    assert torch.equal(result.embedding.parts[0], wanted.embedding.parts[0])
    assert cycles == [0, 1]
    assert 0 <= result.records[-1].metrics["r_precision"] <= 1
    assert "kid" in result.records[-1].metrics
    assert "fd_judge" not in result.records[-1].metrics
    assert "base_model_fingerprint" not in result.embedding.metadata


@pytest.mark.parametrize("kind", ["epsilon", "sdxl"])
def test_a_pipeline_is_the_model_of_its_folder(
    model_folder: Callable[..., Path], kind: str
) -> None:
    """The same shapes and weights; the token that is learned goes into each text encoder."""
    whole = pipeline(model_folder(kind))
    found = model_of_pipeline(whole)
    loaded = load_text_to_image(
        ModelSettings(base_model=str(model_folder(kind)), device="cpu", dtype="float32")
    )
    assert (found.widths, found.latent_shape) == (loaded.widths, loaded.latent_shape)
    assert found.resolution == loaded.resolution
    assert found.empty_prompt_is_zero == loaded.empty_prompt_is_zero
    assert found.unet is whole.unet
    assert found.fingerprint == model_of_pipeline(whole).fingerprint
    parts = tuple(torch.randn(2, width) for width in found.widths)
    embedding = Embedding("<new>", parts, keys=found.embedding_keys)
    with quiet_libraries():
        embedding.load_into(whole)
    for name, vectors in zip(("", "_2"), parts, strict=False):
        tokenizer, encoder = (getattr(whole, f"{p}{name}") for p in ("tokenizer", "text_encoder"))
        ids = tokenizer.convert_tokens_to_ids(["<new>", "<new>_1"])
        assert torch.equal(encoder.get_input_embeddings().weight[ids], vectors)
    with pytest.raises(EmbeddingError, match="in the model's vocabulary already"):
        embedding.load_into(whole)


def test_an_embedding_of_other_text_encoders_is_refused(pipe: Any) -> None:
    """Before any of the pipeline is changed."""
    with pytest.raises(EmbeddingError, match="needs vectors of width 128"):
        Embedding("<sd>", (torch.zeros(1, 768),)).load_into(pipe)
    two = Embedding("<sd>", (torch.zeros(1, 768), torch.zeros(1, 1280)), keys=("clip_l", "clip_g"))
    with pytest.raises(EmbeddingError, match="and pipe is a StableDiffusionPipeline"):
        two.load_into(pipe)


def test_what_cannot_be_learned_from_is_said(
    pipe: Any, model_folder: Callable[..., Path], tmp_path: Path
) -> None:
    """The argument's name, and what to give; before any model is loaded."""

    def said(kind: type[CotiError], *given: Any, **keys: Any) -> str:
        with pytest.raises(kind) as raised:
            coti.learn(*given, **{"concept": "boot", **keys})
        return str(raised.value)

    seeds, image = BOOTS / "seeds", Image.new("RGB", (40, 40))
    assert "which is no text-to-image pipeline" in said(ModelError, tmp_path, seeds, seeds)
    tiny = pipeline(model_folder("epsilon"))
    assert "give preset=, one of bundled" in said(ConfigError, tiny, seeds, seeds)
    assert "concept is empty" in said(ConfigError, pipe, seeds, seeds, concept=" ")
    assert "write train.max_steps" in said(ConfigError, pipe, seeds, seeds, train={"max_step": 1})
    both = said(ConfigError, pipe, seeds, seeds, settings=RunSettings(), seed=1)
    assert "so seed cannot be given beside it" in both
    assert "seeds is an empty list" in said(PoolError, pipe, [], [image])
    assert "pool is an empty list" in said(PoolError, pipe, [image], [])
    assert "seeds[1] is a str" in said(PoolError, pipe, [image, "boot.png"], [image])
    unet, hooked = tiny.unet, object()
    unet._hf_hook = hooked
    with pytest.raises(ModelError, match="cpu offload"):
        model_of_pipeline(tiny)
    del unet._hf_hook
    tiny.vae = None
    with pytest.raises(ModelError, match="has no vae"):
        model_of_pipeline(tiny)
