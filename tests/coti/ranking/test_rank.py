"""Planted checkpoints are put in their order; LoRAs of all formats are applied and taken off."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import avg_pool2d

from coti.core.errors import ConfigError, EmbeddingError
from coti.core.fitting import Fit
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.adapters.lora_file import LoRA, is_lora
from coti.inversion.base_model import TextToImageModel, load_text_to_image
from coti.loop.load_models import load_judge, load_ssl_judge, loader
from coti.pool.references import read_references
from coti.ranking.checkpoint_kinds import (
    Checkpoint,
    generate_with,
    lora_checkpoint,
    told_apart,
    without,
)
from coti.ranking.ranking import Judges, Protocol, rank
from coti.settings import EvaluationSettings, GenerationSettings, ModelSettings, TokenSettings
from ops.quiet import ROOT

QUICK = GenerationSettings(num_inference_steps=2, batch_size=64)


@pytest.fixture(scope="module")
def judges() -> Judges:
    """The bundled ones."""
    settings, load = EvaluationSettings(), loader(lambda name: str(ROOT / name))
    blind = load_ssl_judge(settings, load)
    assert blind is not None
    return Judges(load_judge(settings, load), blind)


@pytest.fixture(scope="module")
def model() -> TextToImageModel:
    """The bundled one."""
    settings = ModelSettings(str(ROOT / "assets/models/base"), device="cpu", dtype="float32")
    return load_text_to_image(settings)


@pytest.fixture(scope="module")
def boots() -> torch.Tensor:
    """Images of one concept, uint8 [200, 3, 32, 32]."""
    return read_references(ROOT / "assets/pools/ankle_boot/references", 32, Fit())[:200]


def samples(label: str, images: torch.Tensor) -> Checkpoint:
    """As a folder of them."""
    return Checkpoint(label, "samples", Path(label), samples=images)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_checkpoints_are_put_in_their_order(
    judges: Judges, boots: torch.Tensor, seed: int
) -> None:
    """Good, undertrained, overtrained, broken; who gives training images back comes last.

    Each is made of real images: most of an undertrained checkpoint's have no clear shape yet, an
    overtrained one's are a few in glaring contrast, a broken one's are noise.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(boots), generator=generator)
    training, held_out, others = boots[order[:40]], boots[order[40:120]], boots[order[120:]]
    blurred = avg_pool2d(others.float(), 9, 1, 4).to(torch.uint8)
    few = others[:4].repeat(12, 1, 1, 1).float()
    planted = {
        "good": others[:48],
        "undertrained": torch.cat([others[:16], blurred[16:48]]),
        "overtrained": ((few - 128) * 3 + 128).clamp(0, 255).to(torch.uint8),
        "memorising": (training[:24].repeat(2, 1, 1, 1).int() + 1).clamp(0, 255).to(torch.uint8),
        "broken": torch.randint(0, 256, (48, 3, 32, 32), generator=generator).to(torch.uint8),
    }
    found = rank(
        [samples(label, images) for label, images in reversed(planted.items())],
        judges,
        references=held_out,
        training=torch.cat([training, training[:5]]),  # copies in it hide none
    )
    labels = [row.checkpoint.label for row in found.rows]
    assert labels[0] == "good"
    assert set(labels[1:3]) == {"undertrained", "overtrained"}
    assert labels[3:] == ["broken", "memorising"]
    assert [row.memorises for row in found.rows] == [False] * 4 + [True]
    assert not found.as_good
    assert found.sentence == (
        "good is the best of 5; memorising: out, for giving training images back, and the rest is "
        "further away."
    )
    alone = rank([samples("memorising", planted["memorising"])], judges, training=training)
    assert "training images back" in alone.sentence


def test_two_draws_of_one_checkpoint_cannot_be_told_apart(
    judges: Judges, boots: torch.Tensor
) -> None:
    """The best is named with the one that is as good."""
    found = rank(
        [samples(name, boots[start : start + 40]) for name, start in (("one", 0), ("two", 40))],
        judges,
        references=boots[80:],
    )
    assert len(found.as_good) == 1
    assert "cannot tell it from" in found.sentence
    assert "rests on" not in found.sentence
    assert all(row.copies is None for row in found.rows), "nothing is known of training images"


def lora_of(model: TextToImageModel, folder: Path) -> tuple[Path, Path]:
    """The same LoRA as kohya and as diffusers write it."""
    generator = torch.Generator().manual_seed(0)
    kohya, diffusers = {}, {}
    networks = {"unet": ("unet", model.unet), "text_encoder": ("te", model.text_encoders[0])}
    for prefix, (short, network) in networks.items():
        for name, layer in network.named_modules():
            if not name.endswith(("attn2.to_q", "attn2.to_v", "q_proj", "out_proj")):
                continue
            if prefix == "text_encoder":  # as files have it, whatever this transformers calls it
                name = f"text_model.{name.removeprefix('text_model.')}"
            down = torch.randn(2, layer.in_features, generator=generator) * 0.3
            up = torch.randn(layer.out_features, 2, generator=generator) * 0.3
            base = f"lora_{short}_{name.replace('.', '_')}"
            kohya |= {f"{base}.lora_down.weight": down, f"{base}.lora_up.weight": up}
            kohya[f"{base}.alpha"] = torch.tensor(2.0)
            diffusers[f"{prefix}.{name}.lora_A.weight"] = down
            diffusers[f"{prefix}.{name}.lora_B.weight"] = up
    paths = folder / "kohya.safetensors", folder / "diffusers.safetensors"
    for path, tensors in zip(paths, (kohya, diffusers), strict=True):
        save_file(tensors, path)
    return paths


def test_a_lora_of_any_format_is_applied_and_taken_off_again(
    judges: Judges, model: TextToImageModel, boots: torch.Tensor, tmp_path: Path
) -> None:
    """The same images of both files; afterwards the model generates as before, bit for bit."""
    plain = generate_with(model, without(), ["a boot"], 2, QUICK, 0)
    checkpoints = [lora_checkpoint(path, "boot") for path in lora_of(model, tmp_path)]
    first, second = (
        generate_with(model, each, ["a {}"], 2, QUICK, 0) for each in checkpoints if each
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, plain)
    assert torch.equal(generate_with(model, without(), ["a boot"], 2, QUICK, 0), plain)
    embedding = Embedding.initial(model, TokenSettings("<boot>", "foot", 2))
    given = [Checkpoint("word", "embedding", tmp_path, embedding, "<boot>"), checkpoints[0]]
    found = rank(
        [each for each in given if each],
        judges,
        model=model,
        settings=QUICK,
        protocol=Protocol(images=4, scenes=("a photo of {} on a boat",), scene_images=1),
        training=boots[:20],
    )
    by_kind = {row.checkpoint.kind: row for row in found.rows}
    assert by_kind["embedding"].drift == 0
    assert by_kind["LoRA"].drift is not None
    assert by_kind["LoRA"].drift > 1e-3
    assert all(row.text is not None and row.precision is None for row in found.rows)
    assert found.rows[1].behind is not None
    assert "rests on 4 images" in found.sentence


def test_what_cannot_be_ranked_is_one_sentence(
    judges: Judges, model: TextToImageModel, boots: torch.Tensor, tmp_path: Path
) -> None:
    """Other adapters, damaged ones, another model's, no trigger word, nothing to compare with."""
    kohya, _ = lora_of(model, tmp_path)
    assert is_lora(kohya)
    with pytest.raises(ConfigError, match="--trigger"):
        lora_checkpoint(kohya, None)
    loaded = LoRA.load(kohya)
    wrong = {name: torch.zeros(*each.shape[:-1], 7) if each.ndim else each
             for name, each in loaded.tensors.items()}  # fmt: skip
    save_file(wrong, tmp_path / "wrong.safetensors")
    elsewhere = {f"lora_unet_nowhere_{n}.lora_down.weight": torch.ones(2, 2) for n in range(2)}
    save_file(elsewhere, tmp_path / "elsewhere.safetensors")
    part = {name.replace("_to_q.", "_to_elsewhere."): each for name, each in loaded.tensors.items()}
    assert part.keys() != loaded.tensors.keys()
    save_file(part, tmp_path / "part.safetensors")
    plain = generate_with(model, without(), ["a boot"], 1, QUICK, 0)
    for name in ("wrong", "elsewhere", "part"):
        checkpoint = lora_checkpoint(tmp_path / f"{name}.safetensors", "boot")
        assert checkpoint is not None
        with pytest.raises(EmbeddingError, match="does not fit"):
            generate_with(model, checkpoint, ["a {}"], 1, QUICK, 0)
        assert torch.equal(generate_with(model, without(), ["a boot"], 1, QUICK, 0), plain)
    faults = {
        "finite": {"x.lora_up.weight": torch.tensor([[float("nan")]])},
        "no plain LoRA": {"x.lora_up.weight": torch.ones(1, 1), "x.hada_w1_a": torch.ones(1, 1)},
        "holds no LoRA": {"x": torch.ones(1)},
    }
    for said, tensors in faults.items():
        save_file(tensors, tmp_path / "fault.safetensors")
        with pytest.raises(EmbeddingError, match=said):
            LoRA.load(tmp_path / "fault.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(kohya.read_bytes()[:500])
    assert not is_lora(tmp_path / "cut.safetensors")
    with pytest.raises(EmbeddingError):
        LoRA.load(tmp_path / "cut.safetensors")
    some = samples("some", boots[:8])
    with pytest.raises(ConfigError, match="nothing to compare with"):
        rank([some], judges)
    with pytest.raises(ConfigError, match="two or more"):
        rank([some], judges, training=boots[:1])
    with pytest.raises(ConfigError, match="base model"):
        rank([Checkpoint("a", "LoRA", kohya, loaded, "boot")], judges, training=boots[:9])
    with pytest.raises(ConfigError, match="one: "):
        rank([samples("one", boots[:1])], judges, training=boots[:9])


def test_labels_are_told_apart() -> None:
    """By their folders, else by numbers."""
    paths = [Path("a/last.pt"), Path("b/last.pt"), Path("b/last.pt")]
    found = told_apart([Checkpoint("last", "samples", path) for path in paths])
    assert [each.label for each in found] == ["a/last", "b/last", "b/last (2)"]
