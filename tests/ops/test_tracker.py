"""What MLflow, a file system and ZenML call a concept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient

from coti.core.errors import RegistryError
from ops.registry.embedding_registry import METRICS_TAG, EmbeddingRegistry
from ops.tracking.tracker import run_with, slug

WORDS = st.one_of(st.text(), st.text(st.sampled_from("abAB12 -_!+#é🦊\u0301"), max_size=6))


@given(WORDS, WORDS)
@example("🦊", "🐱")
@example("C++", "C#")
@example("Ankle-Boot!", "ankle boot")
@example("ankle-boot", "ankle boot")
@example("x" * 300, "x" * 299)
@example("concept", "🦊")
@example("ankle boot", "ankle  boot")
def test_two_concepts_never_share_a_name(one: str, other: str) -> None:
    """And each name is one that any of them takes."""
    assert (slug(one) == slug(other)) == (one == other)
    assert re.fullmatch(r"[a-z0-9]+(-{1,2}[a-z0-9]+)*", slug(one))
    assert len(slug(one)) < 120


NAMES = st.text(st.sampled_from("ab'\"\\%_`; -é🦊"), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    """An MLflow of its own."""
    return MlflowClient(tracking_uri=f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(NAMES, min_size=2, max_size=3, unique=True))
@example(["o'neil", 'o"neil', "o'n\"eil"])
@example(["a'b\"c", "a'bxc", "a_b_c"])
@example(["back\\", "backs", "'\\"])
def test_filters_take_any_text(client: MlflowClient, tmp_path: Path, names: list[str]) -> None:
    """Runs by a tag and registered concepts by their name are found, and no other instead."""
    experiment = client.create_experiment(f"{tmp_path.name} {len(client.search_experiments())}")
    made = {}
    for name in names:
        made[name] = client.create_run(experiment).info.run_id
        client.set_tag(made[name], "name", name)
        if not client.search_registered_models(f"name = '{slug(name)}'"):
            with pytest.raises(RegistryError, match="the registry has no concept"):
                EmbeddingRegistry.find(client, name)
            client.create_registered_model(slug(name))
            client.create_model_version(slug(name), "source", tags={METRICS_TAG: "{}"})
    for name in names:
        found = run_with(client, [experiment], {"name": name})
        assert found is not None
        assert found.info.run_id == made[name]
        assert EmbeddingRegistry.find(client, name).name == slug(name)
        assert EmbeddingRegistry.find(client, slug(name)).versions()
