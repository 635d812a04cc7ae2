"""The studio's page; Streamlit runs this file from top to bottom at every change.

What it reads is kept between the runs: of the registry half a minute, of a training run for good.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import streamlit as st

from cli.studio_app import figure, plain
from cli.studio_review import review_section
from coti.core.contact_sheet import contact_sheet
from coti.core.errors import CotiError
from coti.core.whole_files import temporary_folder
from coti.generation.own_settings import settings_of
from coti.generation.png_metadata import embedding_hash
from coti.inversion.adapters.embedding import Embedding
from coti.selection.outcomes import OUTCOMES
from coti.settings import GenerationSettings
from ops.quiet import quiet_terminal

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from ops.tracking.tracked_embeddings import TrackedEmbedding

COLUMNS = 4
SHOWN = 96
"""Pixels that an image has at least on the page: smaller ones are enlarged pixel by pixel."""


@st.cache_resource(show_spinner="Opening the registry")
def _client() -> MlflowClient:
    from ops.tracking.active_tracker import active_tracker

    return active_tracker().client


@st.cache_data(ttl=30, show_spinner="Reading the registry")
def _versions(concept: str) -> dict[str, TrackedEmbedding]:
    """By label, the newest first: that is the one to look at."""
    from ops.registry.embedding_registry import EmbeddingRegistry

    registry = EmbeddingRegistry.find(_client(), concept)
    return {each.label: each for each in map(registry.embedding, reversed(registry.versions()))}


@st.cache_data(show_spinner="Reading the training run")
def _cycles(run_id: str) -> list[tuple[TrackedEmbedding, dict[str, str]]]:
    """Of the run that trained a version, the first cycle first, with its metrics."""
    from ops.tracking.tracked_embeddings import cycle_embedding, cycle_runs, shown_metrics

    return [
        (cycle_embedding(_client(), run), shown_metrics(run.data.metrics))
        for run in cycle_runs(_client(), run_id)
    ]


@st.cache_data(show_spinner="Reading the training run")
def _kept(run_id: str) -> str:
    """The label of the cycle whose embedding is the version."""
    return f"cycle {_client().get_run(run_id).data.tags.get('coti.kept_cycle')}"


@st.cache_data(show_spinner="Reading what was picked")
def _sheet(run_id: str, which: str) -> bytes | None:
    """A cycle's contact sheet of one outcome, as PNG; none where there was none."""
    name = f"selection/{which}.png"
    if name not in {file.path for file in _client().list_artifacts(run_id, "selection")}:
        return None
    with temporary_folder() as folder:
        return Path(_client().download_artifacts(run_id, name, str(folder))).read_bytes()


@st.cache_data(show_spinner="Generating", max_entries=64, hash_funcs={Embedding: embedding_hash})
def _generated(
    embedding: Embedding, prompt: str, count: int, seed: int, settings: GenerationSettings
) -> bytes:
    """A grid of images of a prompt on the noise of ``seed``, as PNG."""
    from coti.commands.embedding_sources import model_named_by, origin_of_embedding
    from coti.commands.project import EmbeddingSource
    from coti.generation.prompted import generate_prompts
    from coti.settings import ModelSettings
    from ops.stack.loaded_models import text_to_image

    name = embedding.metadata.get("base_model", ModelSettings().base_model)
    where = {"base_model": name, **origin_of_embedding(embedding)}
    chosen = ModelSettings(**cast(Any, where))
    if "base_model" in embedding.metadata:
        chosen = model_named_by(EmbeddingSource(embedding, embedding.token), chosen)
    model = text_to_image(chosen)
    images = generate_prompts(model, [prompt], [embedding], settings, seed, num_images=count).images
    sheet = contact_sheet(images, columns=COLUMNS, cell=max(SHOWN, int(images.shape[-1])))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _settings(embedding: Embedding, label: str) -> GenerationSettings:
    """As its run generated, unless the user moves a slider; another version has its own."""
    own, learned = settings_of([embedding], embedding.widths)
    most = max(50, own.num_inference_steps)
    steps = st.slider("Solver steps", 1, most, own.num_inference_steps, key=f"steps of {label}")
    guidance = float(own.guidance_scale)
    bounds = min(1.0, guidance), max(12.0, guidance)
    scale = st.slider("Guidance scale", *bounds, guidance, 0.5, key=f"guidance of {label}")
    whose = "At first as in its run" if learned else "Its file does not say how its run generated"
    st.caption(f"{whose}, with {plain(own.scheduler)}.")
    return replace(own, num_inference_steps=steps, guidance_scale=scale)


def page() -> None:
    """Choose at the left; a version beside the champion, its cycles, what was picked."""
    st.set_page_config(page_title="COTI studio", layout="wide")
    st.title("COTI studio")
    from ops.registry.embedding_registry import registered_concepts

    concepts = registered_concepts(_client())
    if not concepts:
        st.info("Nothing is registered yet: run `make quickstart`, then reload this page.")
        return
    with st.sidebar:
        concept = st.selectbox("Concept", concepts)
        versions = _versions(concept)
        chosen = st.selectbox("Version", list(versions))
        prompt = st.text_input("Prompt", "a photo of a {}", help="{} is the placeholder token.")
        seed = int(st.number_input("Seed", min_value=0, value=0))
        count = st.slider("Images", 1, 16, 8)
        version = versions[chosen]
        settings = _settings(version.embedding, chosen)
    how = (prompt, count, seed, settings)
    champion = next((each for each in versions.values() if "champion" in each.label), None)

    left, right = st.columns(2)
    left.subheader(plain(version.label))
    made = f"{count} images of {prompt!r} with"
    left.html(figure(_generated(version.embedding, *how), f"{made} {version.label}"))
    if champion is None:
        right.subheader("No champion yet")
        right.write("No version has passed the gate.")
    else:
        right.subheader("Champion" if champion.label != version.label else "Champion (the same)")
        right.html(figure(_generated(champion.embedding, *how), f"{made} {champion.label}"))

    st.header("Training, cycle by cycle")
    cycles = {found.label: (found, metrics) for found, metrics in _cycles(version.run_id)}
    labels, kept = list(cycles), _kept(version.run_id)
    first = kept if kept in cycles else labels[-1]

    def named(label: str) -> str:
        return f"{label}, kept" if label == kept else label

    label = first
    if len(labels) > 1:
        label = st.select_slider("Cycle", labels, first, named, key=f"cycle of {chosen}")
    cycle, metrics = cycles[label]
    with st.container(horizontal=True):
        for name, value in metrics.items():
            st.metric(name, value, width="content")
    caption = f"{named(label)}, the same noise"
    st.html(figure(_generated(cycle.embedding, *how), f"{made} {named(label)}", caption))

    headings = OUTCOMES
    if _sheet(cycle.run_id, "refused") is not None:
        # A run of up to 0.2 did not tell the others apart.
        headings = {"picked": OUTCOMES["picked"], "refused": "Not picked"}
    for which, heading in headings.items():
        sheet, title = _sheet(cycle.run_id, which), f"{heading}, best first"
        st.subheader(title)
        if sheet is None:
            st.write("Nothing.")
        else:
            st.html(figure(sheet, f"{title}: {label}", "S_aes / S_con"))
    review_section(version.run_id)


quiet_terminal()
try:
    page()
except CotiError as error:
    st.error(plain(str(error)))
