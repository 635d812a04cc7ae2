"""``configs/paper.yaml`` and its preset: every key is there and says whose it is, nothing stops it
before training, and it runs whole on small random models of the architectures that it names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from coti.core.weights import hash_of
from coti.encoders.inception import InceptionEncoder
from coti.experiments.experiment_run import ExperimentResult, run_experiment
from coti.inversion.families.configurations import write_configs
from coti.inversion.families.random_base_model import reduced, write_random
from coti.inversion.families.registry import architectures
from coti.loop.plan import effective, first_batch
from coti.metrics.judge import candidate_captions, images_needed, shortfalls
from coti.pool.concept_data import concept_data
from coti.settings import RunSettings
from coti.settings.from_yaml import parse_settings, read_yaml
from coti.settings.presets import merged, preset_values, with_preset
from coti.settings.run import flat
from ops.run_file import check_run_file
from ops.stack import loaded_models
from ops.stack.loaded_models import located, models_of
from ops.tracking.lineage import fingerprints_of
from tests.coti.encoders.test_inception import weights as weights

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "configs" / "paper.yaml"
WRITTEN: dict[str, Any] = read_yaml(PAPER)["parameters"]["config"]
VALUES: dict[str, Any] = with_preset(WRITTEN)
WHOSE = re.compile(r"# (paper|release|ours)\b")
COUNT = 4
"""Images on both sides of the metrics: fewer than the encoders have features, whose number the test
says is as many (``small``). How many are needed is the one thing that is not real here."""
LONG: dict[str, Any] = {
    "baseline_images": 20,  # pool images of the one-shot baselines, which do not run here
    "aesthetic": {"steps": 20},  # optimizer steps of the head
    "train": {
        "max_steps": 8,  # else some ten thousand a cycle
        "phi_every": 1,  # epochs: so that φ is seen twice within these steps
        "checkpoint_every": 0,  # files
    },
    "generation": {
        "num_inference_steps": 4,  # of 50
        "phi_images": 2,
        "cycle_images": COUNT,
        "sample_images": 1,
    },
    "evaluation": {"kid_subsets": 2, "kid_subset_size": COUNT},
    "controller": {"max_cycles": 1},  # of 20
    "measurement": {"images": COUNT, "edit_images": 1},
}
"""All that the whole run changes beside paths: counts that make it long and nothing else."""


def lines_of_keys() -> Iterator[str]:
    """Both files' lines that set something."""
    preset = ROOT / "coti" / "settings" / "presets" / "paper.yaml"
    inside = PAPER.read_text(encoding="utf-8").partition("    preset: paper")[2]
    for text in (preset.read_text(encoding="utf-8"), inside.partition("\n")[2]):
        yield from (
            line for line in text.splitlines() if re.match(r" *(- |[a-z0-9_]+: *[^ #])", line)
        )


def test_every_key_is_there_once() -> None:
    """No part of the settings has a key that is left to a default, which may change; what belongs
    to a concept is in the run file, all else in the preset."""
    preset, own = flat(preset_values("paper")), flat(WRITTEN)
    assert set(flat(VALUES)) == set(flat(asdict(RunSettings())))
    assert set(preset) & set(own) == set()


def test_every_value_says_whose_it_is() -> None:
    """The paper's, the release's, or ours, on its own line."""
    lines = list(lines_of_keys())
    assert len(lines) >= len(flat(VALUES))
    assert [line for line in lines if not WHOSE.search(line)] == []


def test_equations_and_numbers_are_the_papers_and_the_releases() -> None:
    """The equations as printed, and the release's numbers."""
    paper = check_run_file(PAPER)
    select, train, score = paper.selection, paper.train, paper.aesthetic
    assert (select.weight_floor, select.concept_gate, select.aesthetic_gate) == (0, 0, 0)
    assert (select.spread, select.combine, paper.concept_score.kind) == (
        *(1, "intelligent"),
        "min_cosine",
    )
    assert paper.baseline_images == paper.controller.max_cycles * select.batch == 200
    assert len(train.learning_rates) == 5
    assert (paper.generation.num_inference_steps, paper.generation.guidance_scale) == (50, 7)
    assert len(score.negatives) == 3
    assert len(candidate_captions(paper.concept, paper.evaluation)) > 900


def images_in(folder: Path, count: int, hue: int) -> str:
    """A folder of smooth random images of one tint, 64 pixels a side."""
    folder.mkdir(parents=True)
    draw = torch.Generator().manual_seed(hue)
    tint = torch.rand(3, 1, 1, generator=draw)
    coarse = torch.rand(count, 3, 5, 5, generator=draw) * 0.6 + 0.4 * tint
    smooth = torch.nn.functional.interpolate(coarse, (64, 64), mode="bicubic").clamp(0, 1)
    for number, image in enumerate((smooth * 255).to(torch.uint8)):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / f"{number:04d}.png")
    return str(folder)


def laions(path: Path) -> str:
    """LAION's head as ``coti weights aesthetic-head`` leaves it, random, around 5."""
    torch.manual_seed(0)
    tensors = {}
    for name, (wide, narrow) in zip(
        (0, 2, 4, 6, 7), pairwise((768, 1024, 128, 64, 16, 1)), strict=True
    ):
        layer = torch.nn.Linear(wide, narrow)
        tensors[f"layers.{name}.weight"] = layer.weight.detach()
        tensors[f"layers.{name}.bias"] = layer.bias.detach()
    tensors["layers.7.bias"] += 5
    save_file(tensors, path)
    return str(path)


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Any]:
    """Images and small files where the file says that they are."""
    head = laions(tmp_path / "head.safetensors")
    (tmp_path / "inception.pth").write_bytes(b"-")
    kinds = enumerate(("look_alike", "others", "generated"), 3)
    return {
        "seeds": images_in(tmp_path / "seeds", 4, 0),
        "pool": images_in(tmp_path / "pool", 30, 1),
        "references": images_in(tmp_path / "references", COUNT, 2),
        "aesthetic": {
            "head": head,
            "negatives": [images_in(tmp_path / name, 6, hue) for hue, name in kinds],
        },
        "evaluation": {"inception": str(tmp_path / "inception.pth")},
        "baselines": {"sd_chad": head},
        "output": str(tmp_path / "outputs"),
    }


class Sized:
    """An encoder of which its width alone is asked."""

    def __init__(self, size: int) -> None:
        self.size = size


def test_nothing_stops_it_before_training(folders: dict[str, Any], tmp_path: Path) -> None:
    """With folders of images: settings, files and their hashes, the strategy's plan, the token in
    the tokenizer of Stable Diffusion 2, the head on the scorer's features, no metric of the paper
    for want of images; and a folder of negatives that is missing is said at once."""
    import open_clip
    from transformers import CLIPTokenizer

    from coti.scores.aesthetic import load_aesthetic_head

    path = tmp_path / "paper.yaml"
    path.write_text(yaml.safe_dump({"parameters": {"config": merged(VALUES, folders)}}))
    paper = check_run_file(path)
    prints = fingerprints_of(paper)
    assert all((prints.pool, prints.seeds, prints.references, prints.ratings, prints.judge))
    assert first_batch(effective(paper)) == 10
    tokenizer = CLIPTokenizer.from_pretrained(
        str(write_configs(architectures()["sd2"], tmp_path / "sd2") / "tokenizer")
    )
    assert paper.token.placeholder_token not in tokenizer.get_vocab()
    assert len(tokenizer(paper.token.initializer, add_special_tokens=False).input_ids) == 1
    scorer = open_clip.get_model_config(paper.scorer.model)
    judge = open_clip.get_model_config(paper.evaluation.judge)
    assert load_aesthetic_head(str(paper.aesthetic.head)).width == scorer["embed_dim"] == 768
    needed = images_needed(Sized(judge["embed_dim"]), Sized(InceptionEncoder.size))  # type: ignore[arg-type]
    for generated in (paper.generation.cycle_images, paper.measurement.images):
        assert shortfalls(generated, 2_048, needed) == []
    gone = replace(paper.aesthetic, negatives=(*paper.aesthetic.negatives, str(tmp_path / "no")))
    with pytest.raises(Exception, match="no does not exist; mend the path"):
        fingerprints_of(replace(paper, aesthetic=gone))


def clip(folder: Path, width: int) -> str:
    """OpenAI's ViT with QuickGELU, two layers deep, its features as wide as ViT-L/14's."""
    import open_clip

    config = {
        "embed_dim": width,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
        "text_cfg": {"vocab_size": 49408, "width": 64, "heads": 1, "layers": 1},
    }
    return _open_clip(folder, config, open_clip.model.CLIP)


def siglip(folder: Path) -> str:
    """SigLIP's towers, a timm ViT with attention pooling and a text tower without a mask, small;
    its tokenizer's files beside its weights, as in a copy of the hub's folder."""
    import open_clip
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    config: dict[str, Any] = json.loads(json.dumps(open_clip.get_model_config("ViT-B-16-SigLIP")))
    config["embed_dim"] = 64
    config["vision_cfg"] |= {"image_size": 32, "timm_model_name": "test_vit"}
    config["text_cfg"] |= {"width": 64, "heads": 1, "layers": 1, "hf_tokenizer_name": str(folder)}
    words = ["<pad>", "</s>", "<unk>", "a", "photo", "of", "emperor", "penguin", "chick", "cock"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(str(folder))
    return _open_clip(folder, config, open_clip.model.CustomTextCLIP)


def _open_clip(folder: Path, config: Mapping[str, Any], network: Any) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    told = {"model_cfg": config, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(told))
    torch.manual_seed(1)
    known = {key: value for key, value in config.items() if key != "custom_text"}
    state = network(**json.loads(json.dumps(known))).state_dict()
    save_file(
        {key: value.contiguous() for key, value in state.items() if key != "attn_mask"},
        folder / "open_clip_model.safetensors",
    )
    return str(folder)


@pytest.fixture
def settings(folders: dict[str, Any], tmp_path: Path, weights: Path) -> RunSettings:
    """The file with paths of small models and of images, and with :data:`LONG`."""
    models = tmp_path / "models"
    base = write_random(reduced("sd2", resolution=64), models / "sd2", torch.float32)
    paths = {
        "model": {"base_model": str(base), "dtype": "float32"},
        "scorer": {"model": clip(models / "clip", 768), "pretrained": None},
        "evaluation": {
            "judge": siglip(models / "siglip"),
            "judge_pretrained": None,
            "inception": str(weights),
            "inception_sha256": hash_of(weights),
        },
    }
    whole = merged(merged(merged(VALUES, folders), paths), LONG)
    return located(parse_settings(whole, "a test"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The judges say that COUNT images are enough, and models go when the test does."""
    monkeypatch.setattr(InceptionEncoder, "size", COUNT)
    yield
    loaded_models.text_to_image.cache_clear()
    loaded_models._encoder.cache_clear()


def run(settings: RunSettings) -> ExperimentResult:
    """All of it, by the way that every caller of the loop takes, from folders to metrics."""
    models = models_of(settings)
    assert models.base.prediction_type == "v_prediction"
    assert models.judge is not None
    models.judge.size = COUNT  # type: ignore[misc]
    return run_experiment(models, concept_data(settings, models), settings)


@pytest.mark.slow
def test_it_runs_whole(settings: RunSettings, small: None) -> None:
    """Seeds alone, then B more by Eq. 11, each with FID and R-precision both ways in its
    record, and the kept embedding's; its eight vectors come out of Stable Diffusion 2's classes."""
    result = run(settings)
    assert [row["picked"] for row in result.cycles] == [0, 10]
    for row in (*result.cycles, result.row):
        assert row["fid"] > 0
        assert row["fd_judge"] > 0
        assert 0 <= row["r_precision"] <= 1
        assert row["r_precision_candidates"] > 900
        assert 0 <= row["r_precision_top200_1001"] <= 1
    assert result.embedding is not None
    assert result.embedding.parts[0].shape == (8, 256)
