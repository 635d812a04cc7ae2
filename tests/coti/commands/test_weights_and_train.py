from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from coti.commands.main import cli
from coti.core.errors import EmbeddingError
from coti.generation.own_settings import settings_of
from coti.inversion.adapters.embedding import Embedding


def test_a_hash_is_printed_and_pinned(tmp_path: Path) -> None:
    """`hash` prints what `fetch` then checks."""
    path = tmp_path / "w.bin"
    path.write_bytes(b"weights")
    printed = CliRunner().invoke(cli, ["weights", "hash", str(path)]).output.strip()
    assert printed == hashlib.sha256(b"weights").hexdigest()
    fetched = CliRunner().invoke(cli, ["weights", "fetch", str(path), "--sha256", printed])
    assert fetched.output.strip() == str(path)


def test_an_old_embedding_is_converted(tmp_path: Path) -> None:
    """And the command says which base model it is for."""
    old, new = tmp_path / "cat.pt", tmp_path / "cat.safetensors"
    torch.save({"string_to_param": {"*": torch.ones(2, 1024)}}, old)
    said = CliRunner().invoke(cli, ["weights", "embedding", str(old), str(new)])
    assert said.output == f"{new}: <cat>, 2 vectors, for Stable Diffusion 2.x\n"
    assert Embedding.load(new).num_vectors == 2


def test_an_embedding_is_trained_without_the_pipeline(tmp_path: Path) -> None:
    """Two steps of the bundled model on the bundled seeds, described by the scorer; a second call
    resumes and is done. The
    file says how the run file generates."""
    run = tmp_path / "run.yaml"
    run.write_text(
        "parameters: {config: {concept: boot, seeds: s, pool: p, token: {placeholder_token: <b>, "
        "initializer: foot}, captions: auto, train: {captions: both, batch_size: 2, max_steps: 2, "
        "keep_latents_from: 0}, "
        "generation: {guidance_scale: 3.5}}}"
    )
    seeds = "assets/pools/ankle_boot/seeds"
    learned = tmp_path / "boot.safetensors"
    arguments = ["train", seeds, "-c", str(run), "--output", str(learned)]
    arguments += ["--checkpoint", str(tmp_path / "kept")]
    first = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert "2 steps, 4 image-steps. All 2 steps are done." in first.output
    before = learned.read_bytes()
    CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert learned.read_bytes() == before
    assert settings_of([Embedding.load(learned)], ())[0].guidance_scale == 3.5
    assert (tmp_path / "kept" / "checkpoint.safetensors").is_file()


@pytest.mark.parametrize("name", ["my boots.safetensors", "<b>.safetensors", "b\t.safetensors"])
def test_a_name_that_cannot_be_saved_is_refused_before_training(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the words of saving, which comes last: not even the model is loaded."""

    def load(settings: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("coti.inversion.base_model.load_text_to_image", load)
    with pytest.raises(EmbeddingError) as saving:
        Embedding("<b>", (torch.ones(1, 4),)).save(tmp_path / name)
    run = tmp_path / "run.yaml"
    token = "token: {placeholder_token: <b>}"
    run.write_text(f"parameters: {{config: {{concept: boot, seeds: s, pool: p, {token}}}}}")
    arguments = ["train", str(tmp_path), "-c", str(run), "--output", str(tmp_path / name)]
    done = CliRunner().invoke(cli, arguments)
    assert str(done.exception or done.output).strip().endswith(str(saving.value))
