"""What of a grid the command is asked to compute."""

from __future__ import annotations

import pytest

from cli.regimes import _facts, _wanted
from coti.core.errors import ConfigError
from ops.regimes_file import planned_grid, read_grid_file
from ops.stack.locations import ROOT

MINI = ROOT / "configs" / "experiments" / "mini" / "regimes.yaml"


def test_only_names_rows_regimes_and_concepts() -> None:
    """Of one kind either, of two kinds both; what there is none of is said."""
    config = read_grid_file(MINI)
    runs = list(planned_grid(config))

    def places(*only: str, part: str | None = None) -> set[tuple[str, str, bool]]:
        wanted = _wanted(config, only, part)
        return {(run.row, run.regime, run.trained) for run in runs if wanted(run)}

    assert places("oracle", "COTI", "scarce") == {("oracle", "scarce", False)}
    assert {row for row, *_ in places("oracle", "COTI")} == {"oracle", "COTI"}
    assert places("bag", part="untrained") == {
        (row, "scarce", False) for row in ("seeds alone", "TI (RAND)", "oracle")
    }
    assert len(places()) == len(runs)
    with pytest.raises(ConfigError, match="--only ceiling: there is no such row"):
        _wanted(config, ("ceiling",), None)


def test_the_page_says_how_it_was_measured() -> None:
    """Concepts, seeds, recipe, references, the cap of image-steps."""
    facts = " ".join(_facts(read_grid_file(MINI)))
    for said in ("bag; seeds 0", "recipe `default`", "128 generations", "At most 8 image-steps"):
        assert said in facts
