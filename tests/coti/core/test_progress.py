"""In a log progress is lines, each whole, and none of what is over at once."""

from __future__ import annotations

import pytest

from coti.core import progress
from coti.core.progress import progress_bar


def test_a_log_has_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is done, of how much, and how long it takes; nothing is drawn over."""
    assert list(progress_bar([1, 2], what="reading")) == [1, 2]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    with progress_bar(what="reading", total=3, initial=1, unit=" images") as bar:
        bar.update()
    with progress_bar(what="fetching", unit=" images") as bar:
        bar.update()
    list(progress_bar([1, 2], what="looking", shown=False))
    said = capsys.readouterr().err
    assert "\r" not in said
    assert "reading: 2 of 3 images, 00:00 so far, about 00:00 left\n" in said
    assert "fetching: 1 images, 00:00 so far\n" in said
    assert "looking" not in said
