"""Images of several experiments of one kind lie side by side."""

from __future__ import annotations

from pathlib import Path

from coti.experiments.result_rows import FinishedRun
from steps.write_results import draw_named


def test_an_experiment_leaves_the_images_of_another_alone(tmp_path: Path) -> None:
    """Both are bars; the second may not take the first one's file away."""
    runs = [FinishedRun("boot", "COTI", 0, {"fd_judge": 0.5, "r_precision": 0.9})]
    first = draw_named("ablations", "ablations", runs, tmp_path)
    second = draw_named("ablations", "ablations_winners", runs, tmp_path)
    assert (first, second) == (["ablations.png"], ["ablations_winners.png"])
    assert sorted(path.name for path in tmp_path.iterdir()) == first + second
