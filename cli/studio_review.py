"""The studio's way to a review page: ``coti review``'s own, of the set that a version learned."""

from __future__ import annotations

import threading
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st

from cli.studio_app import plain
from coti.core.errors import CotiError
from coti.dataset.chosen_set import read_set
from coti.dataset.review_page import ReviewedSet, login_name, review_server
from ops.tracking.run_folders import folder_of

__all__ = ["review_section"]

_HERE = ("127.0.0.1", "localhost", "::1")


@st.cache_resource(show_spinner="Opening the set")
def _address(folder: Path) -> str:
    """Of a set's review page; its server is started once in this process."""
    server, address = review_server(ReviewedSet(read_set(folder), login_name()))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return address


def review_section(run_id: str) -> None:
    """Lead to the page on which X_T of a run is kept, dropped, rated and recaptioned.

    ``run_id``: MLflow's.
    """
    st.header("Review")
    folder = folder_of(run_id)
    if folder is None:
        st.write("The folder of the run that trained this version is gone from outputs.")
        return
    if urlsplit(f"//{st.context.headers.get('host', '')}").hostname not in _HERE:
        st.write(plain(f"On the studio's own machine alone: coti review {folder}"))
        return
    try:
        st.link_button("Keep, drop, rate and recaption its images", _address(folder))
    except CotiError as error:
        st.write(plain(str(error)))
