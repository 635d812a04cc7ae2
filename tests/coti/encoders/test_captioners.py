"""What describes images: words that the scorer chooses, and a model that writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    BertTokenizerFast,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
)

from coti.core.errors import ConfigError, ModelError
from coti.core.images import read_image_folder
from coti.core.weights import hash_of
from coti.encoders.captioners import CAPTIONERS, CaptionerOptions
from coti.encoders.open_clip_encoder import OpenClipEncoder, load_image_text_encoder
from coti.scores.degradations import degrade
from coti.settings import CaptionerSettings

SEEDS = Path("assets/pools/ankle_boot/seeds")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "a", "boot", "on", "grass", "##s"]


@pytest.fixture(scope="module")
def scorer() -> OpenClipEncoder:
    """The bundled one."""
    return load_image_text_encoder("assets/models/scorer")


def test_the_scorer_tells_how_an_image_looks(scorer: OpenClipEncoder) -> None:
    """Its own words for clean, blurred and noisy images; of what it can't tell it says nothing."""
    _, images = read_image_folder(SEEDS, 32)
    tags = CaptionerSettings().tags
    captioner = CAPTIONERS.get("tags").load(CaptionerOptions("ankle boot", scorer, tags))
    said = {}
    for kind in ("blur", "noise"):
        spoilt = degrade(images, [kind] * len(images), [5] * len(images), 0)
        said[kind] = [text.split(", ") for text in captioner.describe(spoilt)]
    assert sum("sharp" in text.split(", ") for text in captioner.describe(images)) >= 9
    assert sum(bool({"blurry", "pixelated"} & set(text)) for text in said["blur"]) >= 9
    assert sum("grainy" in text for text in said["noise"]) >= 9
    unsure = CAPTIONERS.get("tags").load(CaptionerOptions("boot", scorer, ["a boot | a boot"]))
    assert unsure.describe(images[:2]) == ["", ""]


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the hub's, of a BLIP of random weights that says little with few words."""
    folder = tmp_path_factory.mktemp("blip")
    small = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    text = {"vocab_size": len(WORDS), "bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3}
    text |= {"pad_token_id": 0, "encoder_hidden_size": 16, "num_hidden_layers": 1}
    vision = {"image_size": 32, "patch_size": 16, "num_hidden_layers": 1}
    torch.manual_seed(0)
    config = BlipConfig(text_config={**small, **text}, vision_config={**small, **vision})
    BlipForConditionalGeneration(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), bos_token="[DEC]")
    BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(
        folder
    )
    return folder


def test_a_model_writes_as_transformers_own_code(blip: Path, scorer: OpenClipEncoder) -> None:
    """Parity with BLIP's own classes; one by one as together."""
    images = torch.randint(0, 256, (3, 3, 40, 30), dtype=torch.uint8)
    options = CaptionerOptions("boot", scorer, model=str(blip), sha256=hash_of(blip), batch_size=2)
    found = CAPTIONERS.get("transformers").load(options).describe(images)
    own = BlipForConditionalGeneration.from_pretrained(blip).eval()
    processor = BlipProcessor.from_pretrained(blip)
    for image, text in zip(images, found, strict=True):
        inputs = processor(images=image, return_tensors="pt")
        written = own.generate(**inputs, max_new_tokens=40, num_beams=3, do_sample=False)
        assert text == processor.decode(written[0], skip_special_tokens=True).strip()
    assert any(found)


def test_what_cannot_write_is_said(blip: Path, scorer: OpenClipEncoder, tmp_path: Path) -> None:
    """No model, pickled weights, another's hash, one of no such name."""
    load = CAPTIONERS.get("transformers").load
    with pytest.raises(ModelError, match=r"captioner.model is not given: a folder of BLIP"):
        load(CaptionerOptions("boot", scorer))
    with pytest.raises(ModelError, match="b1ip"):
        load(CaptionerOptions("boot", scorer, model=str(blip), sha256="b1ip" * 16))
    for name in ("config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((blip / name).read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"No captioner can be loaded from .*safetensors"):
        load(CaptionerOptions("boot", scorer, model=str(tmp_path)))
    with pytest.raises(ConfigError, match="no captioner 'blip': take one of tags, transformers"):
        CAPTIONERS.check("blip")
    with pytest.raises(ConfigError, match=r"captioner.template is 'x': it has \{\} once"):
        CaptionerSettings(template="x")
    with pytest.raises(ConfigError, match=r"captioner.tags has 'photo \|': give alternatives"):
        CaptionerSettings(tags=("photo |",))
