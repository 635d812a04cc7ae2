"""Extractors: open_clip's models and the autoencoder's latents."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from coti.core.errors import ModelError
from coti.core.weights import hash_of
from coti.encoders.autoencoder import AutoencoderEncoder
from coti.encoders.open_clip_encoder import OpenClipEncoder, load_image_text_encoder
from coti.encoders.protocol import normalized
from coti.settings.from_yaml import read_run_file
from tests.adversary.connections import connections

ROOT = Path(__file__).resolve().parents[3]

CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 8,
        "vision_cfg": {
            "image_size": 16,
            "layers": 1,
            "width": 16,
            "head_width": 8,
            "patch_size": 4,
        },
        "text_cfg": {
            "context_length": 12,
            "vocab_size": 49408,
            "width": 8,
            "heads": 2,
            "layers": 1,
        },
    },
    "preprocess_cfg": {"mean": [0.3, 0.4, 0.5], "std": [0.2, 0.3, 0.4], "interpolation": "bicubic"},
}


def write_model(folder: Path, resize_mode: str = "shortest") -> Path:
    """A tiny open_clip folder with random weights."""
    import open_clip

    folder.mkdir(parents=True, exist_ok=True)
    config = {**CONFIG, "preprocess_cfg": {**CONFIG["preprocess_cfg"], "resize_mode": resize_mode}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    model = open_clip.model.CLIP(**json.loads(json.dumps(CONFIG["model_cfg"])))
    state = {k: v.contiguous() for k, v in model.state_dict().items() if k != "attn_mask"}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's folder."""
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


def random_images(count: int, height: int, width: int) -> torch.Tensor:
    """Random images, smoothed so that resizing keeps something."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (smooth * 255).to(torch.uint8)


def test_shapes_and_names(folder: Path) -> None:
    """Features are float32 on the CPU, one row an image or text, none for none."""
    encoder = load_image_text_encoder(str(folder), batch_size=3)
    assert (encoder.name, encoder.size, encoder.input_size) == ("tiny", 8, 16)
    features = encoder.encode_images(random_images(7, 20, 30))
    assert features.shape == (7, 8)
    assert features.dtype == torch.float32
    assert encoder.encode_texts(["a boot", "a coat"]).shape == (2, 8)
    assert encoder.encode_images(random_images(0, 20, 30)).shape == (0, 8)
    assert encoder.encode_texts([]).shape == (0, 8)


def test_an_image_does_not_depend_on_its_batch(folder: Path) -> None:
    """Batches of any size give the same features."""
    images = random_images(7, 20, 20)
    whole = load_image_text_encoder(str(folder)).encode_images(images)
    parts = load_image_text_encoder(str(folder), batch_size=2).encode_images(images)
    assert torch.allclose(whole, parts, atol=1e-5)


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(16, 16), (8, 8), (40, 25), (33, 64)])
def test_equals_open_clips_own_preprocessing(
    tmp_path: Path, resize_mode: str, size: tuple[int, int]
) -> None:
    """Features are those of open_clip's own PIL preprocessing, up to a grey level of rounding."""
    import open_clip

    folder = write_model(tmp_path / "model", resize_mode)
    logging.disable(logging.CRITICAL)
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    finally:
        logging.disable(logging.NOTSET)
    images = random_images(4, *size)
    pil = [Image.fromarray(np.asarray(pil_image.permute(1, 2, 0))) for pil_image in images]
    with torch.no_grad():
        expected = model.eval().encode_image(
            torch.stack([preprocess(pil_image) for pil_image in pil])
        )
    ours = load_image_text_encoder(str(folder)).encode_images(images)
    assert torch.allclose(normalized(ours), normalized(expected), atol=0.02)


def test_loading_is_quiet(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing reaches the terminal, and logging is afterwards as it was before."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.root.manager.disable)
    load_image_text_encoder(str(folder)).encode_images(random_images(2, 16, 16))
    assert capfd.readouterr() == ("", "")
    assert (list(root.handlers), root.level, logging.root.manager.disable) == before


def test_refuses_what_is_no_model(tmp_path: Path, folder: Path) -> None:
    """Each wrong place is named together with what to do."""
    with pytest.raises(ModelError, match="'assets/models/none' is neither a folder nor a model"):
        load_image_text_encoder("assets/models/none")
    with pytest.raises(ModelError, match=r"has no open_clip_config.json: give a folder"):
        load_image_text_encoder(str(tmp_path))
    (tmp_path / "open_clip_config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(ModelError, match=r"has no .safetensors weights"):
        load_image_text_encoder(str(tmp_path))
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError, match="open_clip cannot load"):
        load_image_text_encoder(str(tmp_path))
    with pytest.raises(ModelError, match="'RN50' needs pretrained, the tag of its weights, such"):
        load_image_text_encoder("RN50")
    with pytest.raises(ModelError, match="open_clip cannot load 'RN50' with pretrained 'none'"):
        load_image_text_encoder("RN50", "none")


@pytest.mark.parametrize(
    ("tower", "key", "place"),
    [
        ("text_cfg", "hf_model_name", "somebody/text-tower"),
        ("text_cfg", "hf_model_name", "roberta-base"),
        ("vision_cfg", "timm_model_name", "hf-hub:somebody/vision-tower"),
        ("vision_cfg", "timm_model_name", "local-dir:/somewhere"),
    ],
)
def test_a_folder_fetches_nothing_that_it_names(
    folder: Path, tmp_path: Path, tower: str, key: str, place: str
) -> None:
    """A configuration that names a hub is refused before anybody is asked."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    config = json.loads(json.dumps(CONFIG))
    config["model_cfg"][tower][key] = place
    (copy / "open_clip_config.json").write_text(json.dumps(config))
    with connections() as asked, pytest.raises(ModelError, match="nothing is fetched from where"):
        load_image_text_encoder(str(copy))
    assert not asked


def test_a_folders_tokenizer_runs_no_code(folder: Path, tmp_path: Path) -> None:
    """Code that it names, there or on a hub, is neither fetched, run nor asked about."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    config = json.loads(json.dumps(CONFIG))
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "somebody/tokenizer"
    (copy / "open_clip_config.json").write_text(json.dumps(config))
    for code in ("somebody/code--evil.Tokenizer", "evil.Tokenizer"):
        (copy / "evil.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Tokenizer: ...\n"
        )
        named = {"tokenizer_class": "Tokenizer", "auto_map": {"AutoTokenizer": [code, None]}}
        (copy / "tokenizer_config.json").write_text(json.dumps(named))
        with connections() as asked, pytest.raises(ModelError, match="also needs its tokenizer"):
            load_image_text_encoder(str(copy))
        assert not asked
        assert not (tmp_path / "ran").exists()


def test_refuses_what_is_no_image(folder: Path) -> None:
    """Images of another type or shape are an error naming both."""
    encoder = load_image_text_encoder(str(folder))
    with pytest.raises(ModelError, match=r"uint8 \[n, 3, h, w\], got torch.float32 \[1, 3, 8, 8\]"):
        encoder.encode_images(torch.zeros(1, 3, 8, 8))


def test_autoencoder_latents() -> None:
    """ℰ = autoencoder gives the flattened latent means of a diffusers autoencoder."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        sample_size=16,
    ).eval()
    encoder = AutoencoderEncoder(vae, 16, batch_size=2)
    images = random_images(5, 16, 16)
    with torch.no_grad():
        expected = vae.encode(images.float() / 127.5 - 1).latent_dist.mean.flatten(1)
    assert encoder.size == 4 * 8 * 8
    assert torch.allclose(encoder.encode_images(images), expected, atol=1e-5)
    assert encoder.encode_images(random_images(3, 40, 24)).shape == (3, encoder.size)


def test_normalized() -> None:
    """Rows get length 1; a row of zeros stays one."""
    assert normalized(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist() == [
        pytest.approx([0.6, 0.8]),
        [0.0, 0.0],
    ]


@pytest.fixture
def published(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model as open_clip knows its own: by name, with a tag; the weights' file.

    The tag's weights want QuickGELU and images of their own preparation, which the model's
    configuration doesn't say: so it is with ViT-L-14 and OpenAI's weights. There is no download.
    """
    import open_clip
    from open_clip import factory, pretrained

    (tmp_path / "tiny-known.json").write_text(json.dumps(CONFIG["model_cfg"]))
    (tmp_path / "tiny-known-quickgelu.json").write_text(
        json.dumps({**CONFIG["model_cfg"], "quick_gelu": True})
    )
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", list(factory._MODEL_CONFIG_PATHS))
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    open_clip.add_model_config(tmp_path)
    own = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "resize_mode": "squash"}
    tags = {
        "quick": {"url": "https://nowhere.example/a", "quick_gelu": True, **own},
        "plain": {"url": "https://nowhere.example/b", **own},
    }
    for name in ("tiny-known", "tiny-known-quickgelu"):
        monkeypatch.setitem(pretrained._PRETRAINED, name, tags)
    file = folder / "open_clip_model.safetensors"
    for module in (factory, pretrained):
        monkeypatch.setattr(module, "download_pretrained", lambda *words, **more: str(file))
    return file


def test_weights_get_the_network_they_were_trained_in(published: Path) -> None:
    """Activation and preparation are the tag's, whether or not its file is pinned by a hash."""
    pinned = hash_of(published)
    found = [
        load_image_text_encoder("tiny-known", "quick"),
        load_image_text_encoder("tiny-known", "quick", sha256=pinned),
        load_image_text_encoder("tiny-known-quickgelu", "quick", sha256=pinned),
        load_image_text_encoder("tiny-known-quickgelu", str(published), sha256=pinned),
    ]
    plain = load_image_text_encoder("tiny-known", "plain")
    image = random_images(2, 20, 30)
    for each in found:
        assert each._mean.flatten().tolist() == [0.5] * 3
        assert each._resize_mode == "squash"
        assert torch.equal(each.encode_images(image), found[0].encode_images(image))
    assert not torch.allclose(plain.encode_images(image), found[0].encode_images(image), atol=1e-4)
    with pytest.raises(ModelError, match="without -quickgelu"):
        load_image_text_encoder("tiny-known-quickgelu", "plain")


@pytest.mark.parametrize("name", ["sd15", "sd2", "sdxl", "paper"])
def test_the_configurations_scorers_match_their_weights(name: str) -> None:
    """By open_clip's own tables: a model that its weights' activation is not that of is a trap."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    settings = read_run_file(ROOT / "configs" / f"{name}.yaml")
    parts = (settings.scorer, settings.concept_score)
    judge = settings.evaluation.judge, settings.evaluation.judge_pretrained
    given = [(part.model, part.pretrained) for part in parts] + [judge]
    pairs = {(model, tag) for model, tag in given if str(model).startswith("ViT")}
    assert pairs
    for model, tag in pairs:
        wanted = bool(get_pretrained_cfg(model, tag).get("quick_gelu"))
        config = open_clip.get_model_config(model)
        assert config is not None
        assert bool(config.get("quick_gelu")) == wanted, (model, tag)


def test_too_little_memory_names_the_batch_size(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's own error, raised in the forward pass: there is no GPU to fill here."""
    encoder = load_image_text_encoder(str(folder), batch_size=8)

    def runs_out(_pixels: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(encoder._model, "encode_image", runs_out)
    with pytest.raises(ModelError, match=r"out of memory looking at 8 images .*\(try 4"):
        encoder.encode_images(torch.zeros(9, 3, 8, 8, dtype=torch.uint8))


def test_weights_that_do_not_fit_are_told_with_their_size(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's own error while the model moves to its device."""
    encoder = load_image_text_encoder(str(folder))

    def runs_out(*_arguments: object, **_named: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(encoder._model, "to", runs_out)
    with pytest.raises(ModelError, match=r"out of memory loading tiny .* GiB\): take a smaller"):
        OpenClipEncoder("tiny", encoder._model, encoder._tokenizer)


def test_for_images_alone_the_half_that_reads_is_not_kept(tmp_path: Path) -> None:
    """The same features of fewer parameters."""
    folder = str(write_model(tmp_path / "model"))
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    whole, half = (load_image_text_encoder(folder, texts=kept) for kept in (True, False))
    assert half.size == whole.size
    assert torch.equal(half.encode_images(images), whole.encode_images(images))
    counts = [sum(p.numel() for p in each._model.parameters()) for each in (half, whole)]
    assert counts[0] < counts[1] / 10
