"""The studio's page; Streamlit runs this file from top to bottom at every change."""

from __future__ import annotations

from typing import Any

import streamlit as st

from cli.studio_data import (
    CycleRecord,
    cycle_records,
    draw_word,
    selection_sheet,
    sheet_of,
    versions_of,
)
from coti.core.errors import CotiError
from coti.generation.png_metadata import embedding_hash
from coti.inversion.adapters.embedding import Embedding
from ops.quiet import quiet_terminal

COLUMNS = 4


@st.cache_resource(show_spinner="Opening the registry")
def _published() -> Any:
    """The registry, once a server."""
    from cli.word_sources import registry

    return registry()


@st.cache_data(ttl=30, show_spinner="Reading the registry")
def _versions(concept: str) -> Any:
    return versions_of(_published(), concept)


@st.cache_data(show_spinner="Reading the training run")
def _cycles(run_id: str) -> tuple[list[CycleRecord], dict[str, Embedding]]:
    words = {word.label: word.embedding for word in _published().cycles(run_id)}
    return cycle_records(_published(), run_id), words


@st.cache_data(show_spinner="Reading what was picked")
def _sheet(run_id: str, which: str) -> bytes | None:
    return selection_sheet(_published(), run_id, which)


@st.cache_data(show_spinner="Generating", max_entries=64, hash_funcs={Embedding: embedding_hash})
def _drawn(
    word: Embedding, prompt: str, count: int, seed: int, steps: int, guidance_scale: float
) -> Any:
    images = draw_word(word, prompt, count, seed, steps, guidance_scale)
    return sheet_of(images, COLUMNS)


def page() -> None:
    """Choose at the left; a version beside the champion, its cycles, what was picked."""
    st.set_page_config(page_title="COTI studio", layout="wide")
    st.title("COTI studio")
    concepts = _published().concepts()
    if not concepts:
        st.info("Nothing is registered yet: run `make quickstart`, then reload this page.")
        return
    with st.sidebar:
        concept = st.selectbox("Concept", concepts)
        versions = _versions(concept)
        chosen = st.selectbox("Version", list(versions))
        prompt = st.text_input("Prompt", "a photo of a {}", help="{} stands for the word's token.")
        seed = int(st.number_input("Seed", min_value=0, value=0))
        count = st.slider("Images", 1, 16, 8)
        steps = st.slider("Solver steps", 1, 50, 10)
        guidance_scale = st.slider("Guidance scale", 1.0, 12.0, 2.0, 0.5)
    how = (prompt, count, seed, steps, guidance_scale)
    word = versions[chosen]
    champion = next((each for each in versions.values() if "champion" in each.label), None)

    left, right = st.columns(2)
    left.subheader(word.label)
    left.image(_drawn(word.embedding, *how), width="stretch")
    if champion is None:
        right.subheader("No champion yet")
        right.write("No version has passed the gate.")
    else:
        right.subheader("Champion" if champion.label != word.label else "Champion (the same)")
        right.image(_drawn(champion.embedding, *how), width="stretch")

    st.header("Training, cycle by cycle")
    records, words = _cycles(word.run_id)
    labels = [record.label for record in records]
    label = st.select_slider("Cycle", labels, labels[-1]) if len(labels) > 1 else labels[0]
    record = next(each for each in records if each.label == label)
    for column, (name, value) in zip(
        st.columns(max(1, len(record.metrics))), record.metrics.items(), strict=False
    ):
        column.metric(name, f"{value:.4g}")
    st.image(_drawn(words[label], *how), caption=f"{label}, the same noise")

    for which, title in (("picked", "Picked in this cycle"), ("refused", "Refused, best first")):
        sheet = _sheet(record.run_id, which)
        st.subheader(title)
        if sheet is None:
            st.write("Nothing: this cycle trained on what was there.")
        else:
            st.image(sheet, caption="S_aes / S_con")


quiet_terminal()
try:
    page()
except CotiError as error:
    st.error(str(error))
