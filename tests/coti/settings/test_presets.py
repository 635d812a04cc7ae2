"""Presets: what a run file over one means, and that nothing of the bundled models is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import create_model

from coti.core.errors import ConfigError
from coti.settings import RunSettings
from coti.settings.from_yaml import parse_settings, read_run_file
from coti.settings.matching_models import require_matching_models
from coti.settings.presets import PRESETS, merged, preset_values, says
from ops.stack.settings_schema import remember_schema

OTHERS = sorted(set(PRESETS) - {"bundled"})


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_settings_and_says_what_it_is(name: str) -> None:
    """It can be read, names nothing of a concept's, and its first line is a sentence."""
    assert parse_settings({"preset": name}, "a test").concept == ""
    assert says(name).endswith(".")
    assert not {"concept", "seeds", "pool", "references"} & set(preset_values(name))


def test_bundled_is_what_is_set_without_a_preset() -> None:
    """The defaults are its one home."""
    assert parse_settings({"preset": "bundled"}, "a test") == RunSettings()


OVERLAY = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 9),
        "token": st.fixed_dictionaries({}, optional={"num_vectors": st.integers(1, 9)}),
        "train": st.fixed_dictionaries(
            {}, optional={"max_steps": st.integers(1, 9), "batch_size": st.integers(1, 9)}
        ),
    },
)


@given(name=st.sampled_from(PRESETS), own=OVERLAY)
def test_own_keys_stand_over_the_presets(name: str, own: dict[str, Any]) -> None:
    """All of them, and all other keys are the preset's; wherever ``preset`` stands in the file."""
    wanted = parse_settings(merged(preset_values(name), own), "a test")
    assert parse_settings({"preset": name, **own}, "a test") == wanted
    assert parse_settings({**own, "preset": name}, "a test") == wanted


@pytest.mark.parametrize("name", OTHERS)
def test_another_model_takes_no_hash_of_the_presets(name: str) -> None:
    """A revision, a hash or a tag pins the preset's own model."""
    own = {
        "model": {"base_model": "my/model"},
        "scorer": {"model": "my/scorer"},
        "evaluation": {"judge": "my/judge"},
    }
    settings = parse_settings({"preset": name, **own}, "a test")
    assert (settings.model.revision, settings.scorer.pretrained) == (None, None)
    assert settings.evaluation.judge_pretrained is None
    same = parse_settings({"preset": name, "model": preset_values(name)["model"]}, "a test")
    assert same == parse_settings({"preset": name}, "a test")


def test_an_unknown_preset_is_named_with_those_there_are() -> None:
    """In one sentence, with the file."""
    with pytest.raises(ConfigError, match=r"^run.yaml: preset 'sd16' is not known: .*, sd15, "):
        parse_settings({"preset": "sd16"}, "run.yaml")
    with pytest.raises(ConfigError, match="preset None is not known"):
        parse_settings({"preset": None}, "run.yaml")


def test_whoever_reads_a_run_file_takes_the_preset() -> None:
    """ZenML makes a model of the pipeline's parameters; what it keeps has no preset any more."""
    remember_schema()
    model: Any = create_model("model", config=(RunSettings | None, None))
    read = model.model_validate({"config": {"preset": "sdxl", "seed": 3}})
    assert read.config == parse_settings({"preset": "sdxl", "seed": 3}, "a test")
    assert "preset" not in read.model_dump()["config"]
    assert model.model_validate_json(read.model_dump_json()) == read


def test_a_run_file_for_commands_takes_it_too(tmp_path: Path) -> None:
    """``coti train`` reads the same file."""
    path = tmp_path / "run.yaml"
    path.write_text("parameters: {config: {preset: sd2, seed: 1}}", encoding="utf-8")
    assert read_run_file(path).model.base_model.endswith("stable-diffusion-2-base")


@pytest.mark.parametrize("name", OTHERS)
def test_another_base_model_alone_is_refused(name: str) -> None:
    """With the keys that were left, and the preset that has this base model."""
    base = preset_values(name)["model"]["base_model"]
    for values in ({}, {"preset": "bundled"}):
        with pytest.raises(ConfigError) as refused:
            require_matching_models({**values, "model": {"base_model": base}})
        said = str(refused.value)
        assert said.startswith(f"model.base_model is '{base}', but scorer.model, aesthetic.head, ")
        assert f"set preset: {name}, or these keys" in said
    require_matching_models({"preset": name})
    require_matching_models({"preset": name, "model": {"base_model": "a/finetune"}})


def test_what_a_single_file_is_says_which_preset_fits() -> None:
    """By ``model.config``; without it all are named."""
    for config, said in (("sd2-base", "sd2"), ("sdxl", "sdxl"), (None, "paper, sd15, sd2 or sdxl")):
        model = {"base_model": "a.safetensors", "config": config}
        with pytest.raises(ConfigError, match=f"set preset: {said}, or"):
            require_matching_models({"model": model})


def test_models_that_the_user_names_are_his_choice() -> None:
    """One key that is left is named, and no other."""
    own: dict[str, Any] = {
        "model": {"base_model": "my/model"},
        "scorer": {"model": "assets/models/scorer"},
        "aesthetic": {"head": None, "ratings": None},
        "evaluation": {"judge": "my/judge", "ssl_judge": None},
    }
    require_matching_models(own)
    del own["evaluation"]["judge"]
    with pytest.raises(ConfigError, match=r"but evaluation\.judge are left"):
        require_matching_models(own)


@pytest.mark.parametrize(
    "base", ["assets/models/base", "./assets/models/base", "/x/assets/models/base"]
)
def test_the_bundled_model_is_known_by_its_place(base: str) -> None:
    """From wherever the path starts."""
    require_matching_models({"model": {"base_model": base}})
