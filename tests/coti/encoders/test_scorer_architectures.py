"""The scorers and the judge of the real models' configurations, at their true width.

The published weights cannot be had here: random ones of the same names and shapes stand in, in a
local file with a pinned hash, as a user with local copies gives them. So names, shapes, activation,
preparation of images and tokenizer are tested; whether a score means anything is not. Towers have
two layers of their 12 to 32: each layer is the same code, and ViT-H/14 whole takes a minute.
"""

from __future__ import annotations

import gc
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from coti.core.errors import ModelError
from coti.core.weights import hash_of
from coti.encoders.open_clip_encoder import load_image_text_encoder
from coti.encoders.protocol import ImageEncoder, ImageTextEncoder, normalized
from coti.scores.aesthetic import AestheticHead
from coti.scores.concept_score import fit_concept_scorer
from coti.settings import ConceptScoreSettings, EvaluationSettings, RunSettings, ScorerSettings
from ops.run_file import load_settings
from ops.stack import loaded_models
from ops.stack.loaded_models import encoders_of, judge_of, scorer_of

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
CONFIGURATIONS = ("sd15", "sd2", "sdxl")
TOKENIZER = "timm/ViT-B-16-SigLIP"
LAION = "hf://laion/CLIP-ViT-H-14-laion2B-s32B-b79K/open_clip_pytorch_model.bin"
TAGS = {"openai": "openai", LAION: "laion2b_s32b_b79k", "webli": "webli"}
"""What the configurations name, as open_clip's tag; its table says how images are prepared."""
CLOSE = 1e-3
"""Of the distance between the two images: ours are within 2e-4 of open_clip's; ViT-L/14 without
its QuickGELU is 3e-3 off."""
WIDTHS = {"ViT-L-14-quickgelu": 768, "ViT-H-14": 1024, "ViT-B-16-SigLIP": 768}


@dataclass(frozen=True)
class Scored:
    """What one model said of the images below; the model itself is gone."""

    name: str
    size: int
    input_size: int
    features: torch.Tensor
    """Of :func:`images`, as they came."""
    reference: torch.Tensor
    """open_clip's own: its network, its transform made from the tag, its PIL images."""
    texts: torch.Tensor | None
    """Of two captions, where texts are encoded."""


def images() -> torch.Tensor:
    """A dark and a bright image that are no squares, uint8 [2, 3, 260, 300]."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 6, 6, generator=generator) * 0.4 + torch.tensor([0.0, 0.6])[
        :, None, None, None
    ].expand(2, 3, 1, 1)
    smooth = torch.nn.functional.interpolate(coarse, (260, 300), mode="bilinear")
    return (smooth * 255).to(torch.uint8)


@contextmanager
def quiet() -> Iterator[None]:
    """open_clip says at length that weights are random."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


@torch.no_grad()
def write_weights(model: str, tag: str, path: Path) -> torch.Tensor:
    """Random weights of the true architecture to a file; open_clip's own features of images."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    torch.manual_seed(0)
    way = get_pretrained_cfg(model, tag)
    with quiet():
        network = open_clip.create_model(model, pretrained=None)
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path)
    transform = open_clip.image_transform(
        network.visual.preprocess_cfg["size"],
        is_train=False,
        mean=way["mean"],
        std=way["std"],
        interpolation=way["interpolation"],
        resize_mode=way["resize_mode"],
    )
    pil = [Image.fromarray(np.asarray(each.permute(1, 2, 0))) for each in images()]
    features: torch.Tensor = network.eval().encode_image(
        torch.stack([transform(each) for each in pil])
    )
    return features


@pytest.fixture(scope="module", autouse=True)
def shallow() -> Iterator[None]:
    """Two layers a tower in open_clip's own table, so both sides have them."""
    from open_clip import factory

    with pytest.MonkeyPatch.context() as patch:
        for name in WIDTHS:
            config = factory.get_model_config(name)
            for tower in ("vision_cfg", "text_cfg"):
                if "layers" in config[tower]:
                    config[tower]["layers"] = 2
            patch.setitem(factory._MODEL_CONFIGS, name, config)
        yield


@pytest.fixture(scope="module")
def cached_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The hub's cache, with a tokenizer in the place of SigLIP's own and nothing else.

    Named by open_clip's configuration, it is fetched beside the weights. Its vocabulary here is
    small; ids, length and end mark are as in the published one.
    """
    from huggingface_hub import constants
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "</s>", "<unk>", "a", "photo", "of", "an", "ankle", "boot", "coat"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    cache = tmp_path_factory.mktemp("hub")
    repository = cache / f"models--{TOKENIZER.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("a" * 40)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(str(snapshot))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    # As the client notes down that the hub has no such file.
    missing = repository / ".no_exist" / ("a" * 40)
    missing.mkdir(parents=True)
    (missing / "config.json").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        yield snapshot


def encoder_of(role: str, config: RunSettings, model: str, file: Path) -> ImageEncoder:
    """The role's encoder through the pipeline's own loading, its weights from ``file``."""
    pinned = hash_of(file)
    if role == "scorer":
        scorer: ScorerSettings = replace(config.scorer, pretrained=str(file), sha256=pinned)
        assert scorer.model == model
        return scorer_of(scorer)
    if role == "judge":
        judge: EvaluationSettings = replace(
            config.evaluation, judge_pretrained=str(file), judge_sha256=pinned
        )
        assert judge.judge == model
        return judge_of(judge)
    settings: ConceptScoreSettings = replace(
        config.concept_score, pretrained=str(file), sha256=pinned
    )
    # The bundled scorer beside it: the configuration's own has no weights here.
    found = encoders_of(replace(config, scorer=ScorerSettings(), concept_score=settings)).concept
    assert found is not None
    return found


@pytest.fixture(scope="module")
def scored(
    cached_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Scored]]:
    """What a role's model says in a configuration; each model is built once, one at a time."""
    done: dict[tuple[str, str], Scored] = {}

    def score(name: str, role: str) -> Scored:
        config = load_settings(ROOT / "configs" / f"{name}.yaml")
        model, pretrained = {
            "scorer": (config.scorer.model, config.scorer.pretrained),
            "concept": (config.concept_score.model, config.concept_score.pretrained),
            "judge": (config.evaluation.judge, config.evaluation.judge_pretrained),
        }[role]
        assert model is not None
        assert pretrained is not None
        if (model, pretrained) not in done:
            path = tmp_path_factory.mktemp("weights") / "model.safetensors"
            reference = write_weights(model, TAGS[pretrained], path)
            gc.collect()
            encoder: Any = encoder_of(role, config, model, path)
            texts = ["a photo of an ankle boot", "a coat"]
            done[model, pretrained] = Scored(
                encoder.name,
                encoder.size,
                encoder.input_size,
                encoder.encode_images(images()),
                reference,
                None if role == "concept" else encoder.encode_texts(texts),
            )
            del encoder
            loaded_models._encoder.cache_clear()
            gc.collect()
            path.unlink()
        return done[model, pretrained]

    yield score
    loaded_models._encoder.cache_clear()


@pytest.mark.parametrize("role", ["scorer", "concept", "judge"])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configurations_model_sees_images_as_open_clip_does(
    name: str, role: str, scored: Callable[[str, str], Scored]
) -> None:
    """Width, input size, finite features of two images told apart, and open_clip's own up to a
    grey level of rounding in the resizing; with ViT-L/14 this includes its activation."""
    found = scored(name, role)
    width = WIDTHS[found.name]
    assert (found.size, found.input_size) == (width, 224)
    assert found.features.shape == (2, width)
    assert found.features.dtype == torch.float32
    assert bool(found.features.isfinite().all())
    unit = normalized(found.features)
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(2))
    own = normalized(found.reference)
    apart = float((own[0] - own[1]).norm())
    assert float((unit - own).norm(dim=1).max()) < CLOSE * apart
    if found.texts is not None:
        assert found.texts.shape == (2, width)
        assert bool(found.texts.isfinite().all())
        assert not torch.equal(found.texts[0], found.texts[1])


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_both_scores_are_made_of_them(name: str, scored: Callable[[str, str], Scored]) -> None:
    """S_aes by a head as wide as LAION's, S_con by the configuration's kind: 0 to 10."""
    looks = normalized(scored(name, "scorer").features)
    ratings = AestheticHead.fresh(768, seed=0, hidden=None).score(looks)
    features = normalized(scored(name, "concept").features)
    settings = load_settings(ROOT / "configs" / f"{name}.yaml").concept_score
    noise = torch.randn(20, features.shape[1], generator=torch.Generator().manual_seed(0))
    fitted = fit_concept_scorer(settings, features, features, normalized(noise))
    for scores in (ratings, fitted.score(features)):
        assert scores.shape == (2,)
        assert bool(((scores >= 0) & (scores <= 10)).all())


def test_siglips_tokenizer_is_needed_beside_its_weights(
    cached_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local file of weights is not enough: without the tokenizer in the hub's cache, offline,
    loading is refused, and what is missing is named."""
    from huggingface_hub import constants

    path = tmp_path / "model.safetensors"
    write_weights("ViT-B-16-SigLIP", "webli", path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    with pytest.raises(ModelError, match=f"also needs its tokenizer, {TOKENIZER}"):
        load_image_text_encoder("ViT-B-16-SigLIP", str(path))


def test_a_local_folder_holds_weights_and_tokenizer(cached_tokenizer: Path, tmp_path: Path) -> None:
    """The judge without the hub: a copy of the repository's files, with what the hub's own
    configuration says of the images."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    folder = tmp_path / "ViT-B-16-SigLIP"
    shutil.copytree(cached_tokenizer, folder)
    reference = write_weights("ViT-B-16-SigLIP", "webli", folder / "open_clip_model.safetensors")
    way = get_pretrained_cfg("ViT-B-16-SigLIP", "webli")
    config = {
        "model_cfg": open_clip.get_model_config("ViT-B-16-SigLIP"),
        "preprocess_cfg": {k: way[k] for k in ("mean", "std", "interpolation", "resize_mode")},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    encoder: ImageTextEncoder = load_image_text_encoder(str(folder), sha256=hash_of(folder))
    assert (encoder.name, encoder.size, encoder.input_size) == ("ViT-B-16-SigLIP", 768, 224)
    features = normalized(encoder.encode_images(images()))
    own = normalized(reference)
    apart = float((own[0] - own[1]).norm())
    assert float((features - own).norm(dim=1).max()) < CLOSE * apart
    assert encoder.encode_texts(["a photo of an ankle boot"]).shape == (1, 768)
