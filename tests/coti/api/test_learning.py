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
from coti.api.given import references_of, settings_of
from coti.core.errors import ConfigError, CotiError, EmbeddingError, ModelError, PoolError
from coti.core.images import from_pil
from coti.core.quiet_libraries import quiet_libraries
from coti.core.whole_files import tensor_hash
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import load_text_to_image
from coti.inversion.pipeline_model import model_of_pipeline
from coti.loop.learn import learn
from coti.loop.load_models import load_models, loader
from coti.loop.record import CycleRecord
from coti.pool.concept_data import concept_data
from coti.pool.references import half_of
from coti.settings import ModelSettings, RunSettings

ROOT = Path(__file__).resolve().parents[3]
BOOTS = ROOT / "assets" / "pools" / "ankle_boot"
TINY: dict[str, Any] = {
    "aesthetic": {"steps": 5},
    "selection": {"batch": 2},
    "train": {"max_steps": 2, "batch_size": 2},
    "generation": {"num_inference_steps": 1, "cycle_images": 4, "sample_images": 2},
    "controller": {"max_cycles": 1},
    "strategy": "is",  # stands on EfficientNet, which nothing else here loads
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
    cycles: dict[int, Embedding] = {}

    def keep(record: CycleRecord, _: Any, embedding: Embedding) -> None:
        cycles[record.cycle] = embedding

    result = coti.learn(
        pipe, seeds, pool, concept="ankle boot", token="<boot>", initializer="foot",
        references=references, on_cycle=keep, **TINY,
    )  # fmt: skip
    monkeypatch.chdir(ROOT)
    settings = settings_of(
        "a test", "bundled", None, TINY, concept="ankle boot", token="<boot>", initializer="foot"
    )
    settings = replace(settings, seeds=str(own), pool=str(folder))
    base = load_text_to_image(ModelSettings(device="cpu", dtype="float32"))
    models = load_models(settings, base, loader(str, base), judged=False)
    wanted = learn(models, concept_data(settings, models), settings)
    assert torch.equal(result.embedding.parts[0], wanted.embedding.parts[0])
    assert list(cycles) == [0, 1]
    assert 0 <= result.records[-1].metrics["r_precision"] <= 1
    assert "kid" in result.records[-1].metrics
    assert "fd_judge" not in result.records[-1].metrics
    for embedding in (result.embedding, *cycles.values()):
        assert "base_model_fingerprint" not in embedding.metadata


def test_the_pool_is_cut_as_the_seeds_are(pipe: Any, folder: Path) -> None:
    """Of 2 : 3 images with focus top the upper square alone is looked at."""
    squares, tall = [image.convert("RGB") for image in opened(folder)], []
    for image in squares:
        whole = Image.effect_noise((32, 48), 90).convert("RGB")
        whole.paste(image, (0, 0))
        tall.append(whole)
    keys = {"concept": "ankle boot", "aesthetic": {"steps": 5}, "images": {"focus": "top"}}
    seeds = opened(BOOTS / "seeds")[:4]
    wanted, found = (coti.check(pipe, seeds, pool, **keys).facts for pool in (squares, tall))
    assert found == wanted


def test_references_are_of_the_half_that_is_asked_for(folder: Path) -> None:
    """Of a list and of a folder: no image is in both halves, and none is lost."""
    runs = [
        settings_of(
            "a test", "bundled", None, {"evaluation": {"references_half": half}}, concept="boot"
        )
        for half in ("all", "development", "tables")
    ]
    for given in (folder, opened(folder)):
        found = [references_of(given, 32, run) for run in runs]
        whole, *halves = ([image.numpy().tobytes() for image in part] for part in found)
        assert all(halves)
        assert sorted(halves[0] + halves[1]) == sorted(whole)
    one = opened(folder)[:1]
    empty = runs[1 if half_of(tensor_hash(from_pil(one, 32)[0])) == "tables" else 2]
    with pytest.raises(PoolError, match="references has no reference in the half"):
        references_of(one, 32, empty)


def test_a_token_is_a_word_or_what_a_run_file_says_of_it() -> None:
    """Over a preset and over a whole configuration, checked like any key."""
    token = {"placeholder_token": "<boot>", "num_vectors": 8}
    for preset, settings in (("bundled", None), (None, RunSettings(seed=3))):

        def run(
            given: Any, preset: str | None = preset, settings: RunSettings | None = settings
        ) -> Any:
            return settings_of(
                "a test", preset, settings, {}, concept="boot", token=given, initializer="foot"
            ).token

        assert (run("<boot>").placeholder_token, run("<boot>").initializer) == ("<boot>", "foot")
        assert (run(token).placeholder_token, run(token).num_vectors) == ("<boot>", 8)
        with pytest.raises(ConfigError, match=r"write token\.num_vectors"):
            run({"num_vector": 8})


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
    """Before any of the pipeline is changed; and what is no pipeline at all."""
    with pytest.raises(EmbeddingError, match="pipe is a str, which is no text-to-image pipeline"):
        Embedding("<sd>", (torch.zeros(1, 768),)).load_into("a pipeline")
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
    both = said(ConfigError, pipe, seeds, seeds, settings=RunSettings(), preset="sd15")
    assert "so preset cannot be given beside it" in both
    never = said(ConfigError, pipe, seeds, seeds, ground_truth="x.csv")
    assert never.startswith("coti.learn: ground_truth cannot be given: it measures a benchmark's")
    never = said(ConfigError, pipe, seeds, seeds, model={"dtype": "float16"})
    assert "model.dtype cannot be given: the model is the pipeline's" in never
    with pytest.raises(ConfigError, match=r"coti\.check: references cannot be given"):
        coti.check(pipe, seeds, seeds, concept="boot", references=seeds)
    for call in (coti.learn, coti.check):
        with pytest.raises(EmbeddingError, match="initializer 'ankle boot' splits into"):
            call(pipe, seeds, seeds, concept="boot", initializer="ankle boot")
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
