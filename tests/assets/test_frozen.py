"""The bundled models are frozen: experiments' results rest on these very files."""

from __future__ import annotations

import json
from pathlib import Path

from assets.build.model_cards import FROZEN, hashes

MODELS = Path(__file__).resolve().parents[2] / "assets" / "models"


def test_no_model_file_has_changed() -> None:
    """Every weight, configuration and vocabulary file is the one that was measured."""
    assert hashes(MODELS) == json.loads((MODELS / FROZEN).read_text(encoding="utf-8"))


def test_every_acceptance_number_holds() -> None:
    """The committed record of what was measured says so of each check."""
    record = json.loads((MODELS / "acceptance.json").read_text(encoding="utf-8"))
    assert [check["what"] for check in record["checks"] if not check["holds"]] == []
