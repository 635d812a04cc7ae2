"""`coti rank` from files to files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from coti.commands.rank import rank
from coti.core.errors import ConfigError
from coti.inversion.adapters.embedding import Embedding
from coti.inversion.base_model import load_text_to_image
from coti.settings import ModelSettings, TokenSettings
from ops.quiet import ROOT

SEEDS = ROOT / "assets/pools/ankle_boot/seeds"
QUICK = ("--num-inference-steps", "2", "--num-images", "4", "--scene-images", "1", "--no-track")


def test_embeddings_and_samples_of_another_tool_are_ranked(tmp_path: Path) -> None:
    """Table, JSON, CSV and page say the same; samples need no word and generate nothing."""
    model = load_text_to_image(ModelSettings(device="cpu", dtype="float32"))
    embedding = Embedding.initial(model, TokenSettings("<boot>", "foot", 2), concept="boot")
    embedding.save(tmp_path / "word.safetensors")
    arguments = (
        *(str(tmp_path / "word.safetensors"), str(SEEDS), "--training", str(SEEDS)),
        *("--device", "cpu", "--output", str(tmp_path / "out"), *QUICK),
    )
    done = CliRunner().invoke(rank, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "word is the best of 2" in done.output
    assert "gives training images back" in done.output
    told = CliRunner().invoke(
        rank, (*arguments, "--concept", "my mug", "--json"), catch_exceptions=False
    )
    found = json.loads(told.stdout)
    with (tmp_path / "out" / "rank.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [row["label"] for row in found["rows"]]
    assert found["best"] == "word"
    assert [row["kind"] for row in rows] == ["embedding", "samples"]
    assert float(rows[0]["distance_to_training"]) == found["rows"][0]["distance_to_training"]
    assert rows[1]["text_agreement"] == ""
    page = (tmp_path / "out" / "rank.html").read_text()
    assert found["sentence"] in page
    assert "my mug: 2 checkpoints" in page
    assert page.count("<img") == 4 + 8


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to compare with"),
        (("--training", str(SEEDS), "--prompt", "a boot"), "write {}"),
    ],
    ids=["nothing", "prompt"],
)
def test_what_is_missing_is_said_before_anything_is_loaded(
    arguments: tuple[str, ...], said: str
) -> None:
    """In one sentence with the remedy."""
    with pytest.raises(ConfigError, match=said):
        CliRunner().invoke(rank, (str(SEEDS), *arguments, *QUICK), catch_exceptions=False)
