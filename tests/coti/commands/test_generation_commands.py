"""`coti generate`, `coti edit` and `coti evaluate` on the bundled model, from file to file."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from click import Command
from click.testing import CliRunner
from PIL import Image, PngImagePlugin

from coti.commands.edit import edit
from coti.commands.embedding_sources import find_embeddings
from coti.commands.evaluate import evaluate
from coti.commands.generate import generate
from coti.core.errors import ConfigError, CotiError, EmbeddingError, ModelError, PoolError
from coti.core.images import read_image
from coti.generation.own_settings import with_settings
from coti.generation.png_metadata import read_metadata
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import load_text_to_image
from coti.settings import GenerationSettings, ModelSettings, TokenSettings
from ops.quiet import ROOT
from tests.adversary.connections import connections

QUICK = ("--num-inference-steps", "3", "--device", "cpu", "--dtype", "float32")


def run(command: Command, *arguments: str) -> str:
    """What the command printed; its error is raised."""
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an object's and a style's embedding, untrained, for the bundled model."""
    folder = tmp_path_factory.mktemp("embeddings")
    model = load_text_to_image(ModelSettings(device="cpu", dtype="float32"))
    for name, token, start in (("boot", "<boot>", "foot"), ("style", "<pale>", "style")):
        settings = TokenSettings(placeholder_token=token, initializer=start, num_vectors=2)
        embedding = Embedding.initial(model, settings, concept="foot")
        embedding.save(folder / f"{name}.safetensors")
    return folder


def test_generate_makes_a_grid_with_metadata(embeddings: Path, tmp_path: Path) -> None:
    """Prompts from a file and from the command line, two embeddings in one, a renamed one."""
    (tmp_path / "prompts.txt").write_text("[style]\na dark photo of a {}\n")
    told = run(
        generate,
        *("--embedding", str(embeddings / "boot.safetensors")),
        *("--embedding", f"{embeddings / 'style.safetensors'}=<style>"),
        *("--prompt", "a photo of a {} in the style of <style>"),
        *("--prompts-file", str(tmp_path / "prompts.txt")),
        *("--num-images", "2", "--seed", "3", "--negative-prompt", "blurry", *QUICK),
        *("--guidance-interval", "0.3", "6"),
        *("--height", "32", "--width", "48", "--output", str(tmp_path / "out")),
    )
    assert "4 images in" in told
    assert "Note" not in told
    images = sorted((tmp_path / "out").glob("0*.png"))
    assert len(images) == 4
    metadata = read_metadata(images[1])
    assert metadata.prompt == "a photo of a <boot> in the style of <style>"
    assert (metadata.seed, metadata.index, metadata.width, metadata.height) == (3, 1, 48, 32)
    assert [embedding.token for embedding in metadata.embeddings] == ["<boot>", "<style>"]
    assert metadata.guidance_interval == (0.3, 6.0)
    assert (tmp_path / "out" / "contact_sheet.png").is_file()
    run(
        generate,
        *("--embedding", str(embeddings / "boot.safetensors"), "--prompt", "a dark photo of a {}"),
        *("--num-images", "2", "--seed", "3", "--negative-prompt", "blurry", *QUICK),
        *("--guidance-interval", "0.3", "6"),
        *("--height", "32", "--width", "48", "--output", str(tmp_path / "again")),
    )
    first, second = read_image(images[3]), read_image(tmp_path / "again" / "0001.png")
    # In a batch of another size, so that a sum may end with another last bit.
    apart = np.asarray(first, int) - np.asarray(second, int)
    assert abs(apart).max() <= 1, "the same seed gives the same image"


def test_images_are_made_as_the_run_made_its_own(embeddings: Path, tmp_path: Path) -> None:
    """What the embedding's file says of its run, less what the command line says."""
    own = GenerationSettings(
        num_inference_steps=2,
        guidance_scale=3.5,
        scheduler="DDIMScheduler",
        use_karras_sigmas=False,
    )
    boot = Embedding.load(embeddings / "boot.safetensors")
    path = with_settings(boot, own).save(tmp_path / "own.safetensors")
    options = ("--num-images", "1", "--guidance-scale", "1.0", "--output", str(tmp_path / "out"))
    run(generate, "--embedding", str(path), *options)
    made = read_metadata(tmp_path / "out" / "0000.png")
    assert (made.num_inference_steps, made.guidance_scale) == (2, 1.0)
    assert made.scheduler == "DDIMScheduler"


def test_generate_compares_with_and_without_the_embedding(embeddings: Path, tmp_path: Path) -> None:
    """Same noise, two rows."""
    told = run(
        generate,
        *("--embedding", str(embeddings / "boot.safetensors"), "--compare", "without"),
        *("--plain-word", "bag", "--num-images", "2", *QUICK, "--output", str(tmp_path)),
    )
    assert "4 images in" in told
    assert read_metadata(tmp_path / "without-0001.png").prompt == "a photo of a bag"
    assert read_metadata(tmp_path / "boot-0001.png").prompt == "a photo of a <boot>"


def test_bad_requests_are_one_sentence(embeddings: Path, tmp_path: Path) -> None:
    """Missing embedding, unknown token, collision, another model's width, nothing to compare."""
    boot = str(embeddings / "boot.safetensors")
    cases: list[tuple[tuple[str, ...], type[CotiError], str]] = [
        (("--embedding", "nowhere"), EmbeddingError, "There is no embedding 'nowhere'"),
        (("--embedding", boot, "--prompt", "a <shoe>"), EmbeddingError, "uses <shoe>"),
        (("--embedding", boot, "--embedding", boot), EmbeddingError, "share the token <boot>"),
        (("--prompt", "a {}"), EmbeddingError, "no embedding is given"),
        (("--prompt", "a bag", "--compare", "without"), EmbeddingError, "needs an embedding"),
        (("--prompt", "a bag", "--height", "30"), ConfigError, "no multiple of"),
        (("--prompt", "a bag", "--guidance-interval", "5", "1"), ConfigError, "two noise levels"),
        (("--prompt", "a bag", "--scheduler", "Best"), ConfigError, "scheduler 'Best'"),
        (("--embedding", f"{boot}=", "--prompt", "a"), EmbeddingError, "ends in ="),
    ]
    for arguments, kind, text in cases:
        with pytest.raises(kind, match=text):
            run(generate, *arguments, *QUICK, "--output", str(tmp_path / "none"))
    assert not (tmp_path / "none").exists(), "nothing half-written"


def test_an_embedding_that_no_prompt_uses_is_pointed_out(embeddings: Path, tmp_path: Path) -> None:
    """It has no effect, and people wonder why."""
    told = run(
        generate,
        *("--embedding", str(embeddings / "boot.safetensors"), "--prompt", "a photo of a bag"),
        *("--num-images", "1", *QUICK, "--output", str(tmp_path)),
    )
    assert "no prompt holds <boot>" in told


def test_a_path_with_an_equals_sign_stays_a_path(embeddings: Path, tmp_path: Path) -> None:
    """Only what is not there as it stands is split."""
    odd = tmp_path / "lr=1.safetensors"
    odd.write_bytes((embeddings / "boot.safetensors").read_bytes())
    assert find_embeddings([], [str(odd)])[0].embedding.token == "<boot>"
    assert find_embeddings([], [f"{odd}=<x>"])[0].embedding.token == "<x>"


def test_edit_keeps_what_is_not_masked(embeddings: Path, tmp_path: Path) -> None:
    """Outside the mask the bundled model's edit is hardly further off than its autoencoder."""
    told = run(
        edit,
        *("--image", str(ROOT / "assets/uses/edit/sneaker.png")),
        *("--mask", str(ROOT / "assets/uses/edit/mask.png")),
        *("--embedding", str(embeddings / "boot.safetensors"), "--prompt", "a photo of a {}"),
        *("--num-images", "2", "--num-inference-steps", "8", "--device", "cpu"),
        *("--dtype", "float32", "--output", str(tmp_path)),
    )
    match = re.search(r"they are ([\d.]+) levels .* alone: ([\d.]+)\)", told)
    assert match is not None, told
    outside, autoencoder = map(float, match.groups())
    assert autoencoder < 12
    assert outside < autoencoder + 4
    metadata = read_metadata(tmp_path / "0000.png")
    assert set(metadata.extra) == {"edited", "mask", "keep_pixels"}


def test_evaluate_measures_embeddings_and_a_baseline(embeddings: Path, tmp_path: Path) -> None:
    """A row for each and each seed, the plot, how even the images are."""
    told = run(
        evaluate,
        *("--word", "foot", "--embedding", str(embeddings / "boot.safetensors")),
        *("--references", str(ROOT / "assets/uses/footwear/seeds")),
        *("--prompts-file", str(ROOT / "configs/prompts/bundled.txt")),
        *("--classes", "t-shirt,bag,sandal,sneaker,ankle boot"),
        *("--expected", "sandal,sneaker,ankle boot"),
        *("--images-per-prompt", "4", "--num-seeds", "2", "--no-track", *QUICK),
        *("--output", str(tmp_path), "--json"),
    )
    values = json.loads(told)
    assert [(row["label"], row["seeds"]) for row in values["rows"]] == [("foot", 2), ("boot", 2)]
    assert (values["table"], values["mlflow_run"]) == (str(tmp_path / "scores.csv"), None)
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], row["seed"]) for row in rows] == [
        ("foot", "0"), ("foot", "1"), ("boot", "0"), ("boot", "1")
    ]  # fmt: skip
    for row in rows:
        assert -1 <= float(row["reconstruction"]) <= 1
        assert -1 <= float(row["editability"]) <= 1
        assert 0 <= float(row["entropy"]) <= math.log2(3) + 1e-9
        assert 1 / 3 - 1e-9 <= float(row["largest_share"]) <= 1
    assert read_image(tmp_path / "distortion_editability.png").width > 400


@pytest.mark.parametrize(
    "place",
    [
        {"base_model": "s3://somebody/x.safetensors", "base_model_sha256": "a" * 64},
        {"base_model": "s3://somebody/x.safetensors"},
        {"base_model": "somebody/a-model-of-theirs", "base_model_revision": "main"},
        {"base_model": "http://somebody.test/model"},
        {"base_model": "hf://somebody/model/x.safetensors"},
        {"base_model": "/dev/zero"},
    ],
)
def test_nobody_is_asked_because_a_file_says_so(
    embeddings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: dict[str, str]
) -> None:
    """A base model that an embedding's metadata names is not fetched, signed or not: the user is
    told how to ask for it. What was asked for by --model is.
    """
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("COTI_CACHE", str(tmp_path / "cache"))
    boot = Embedding.load(embeddings / "boot.safetensors")
    stranger = dataclasses.replace(boot, metadata={"concept": "foot", **place})
    stranger.save(tmp_path / "boot.safetensors")
    given = ("--embedding", str(tmp_path / "boot.safetensors"), *QUICK, "--output", str(tmp_path))
    with connections() as reached, pytest.raises(EmbeddingError, match="that a file names") as said:
        run(generate, *given)
    assert not reached
    assert f"--model {place['base_model']}" in str(said.value)
    if "base_model_sha256" in place:
        asked = ("--model", place["base_model"], "--sha256", place["base_model_sha256"])
        with connections() as reached, pytest.raises(ModelError, match="cannot be fetched"):
            run(generate, *given, *asked)
        assert reached == {"127.0.0.1"}


def test_a_png_of_another_program_is_one_sentence(tmp_path: Path) -> None:
    """Metadata under our name that is not ours names the file."""
    for number, text in enumerate(
        ("", "[]", "{}", '{"embeddings": [1]}', "[" * 9999, '{"words": 3}')
    ):
        notes = PngImagePlugin.PngInfo()
        notes.add_itxt("coti", text)
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (8, 8)).save(path, pnginfo=notes)
        with pytest.raises(PoolError, match=re.escape(str(path))):
            read_metadata(path)


def test_evaluate_refuses_nothing_and_twins(embeddings: Path, tmp_path: Path) -> None:
    """Nothing at all; two of one name; too many labels."""
    references = ("--references", str(ROOT / "assets/uses/footwear/seeds"), "--no-track")
    boot = ("--embedding", str(embeddings / "boot.safetensors"))
    with pytest.raises(ConfigError, match="nothing to evaluate"):
        run(evaluate, *references)
    with pytest.raises(ConfigError, match="Two are called 'boot'"):
        run(evaluate, *boot, *boot, *references)
    with pytest.raises(ConfigError, match="2 labels for 1 things"):
        run(evaluate, *boot, *references, "--label", "a", "--label", "b")
