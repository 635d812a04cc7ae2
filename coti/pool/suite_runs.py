"""Great Expectations (1.x) in memory, sending nothing anywhere, and what it found, a row each.

Its own pages put what strangers wrote, a license say, into their markup: ours is
:mod:`coti.pool.pool_report`.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ephemeral_context", "expectation_rows", "run_suite"]


def ephemeral_context() -> Any:
    """A context in memory, of the library imported quietly and with its analytics off."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    _silence()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        _silence()
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def _silence() -> None:
    """Each of its loggers, since some have levels of their own."""
    for name in ("great_expectations", *logging.root.manager.loggerDict):
        if name.partition(".")[0] == "great_expectations":
            logging.getLogger(name).setLevel(logging.CRITICAL)


def run_suite(
    context: Any,
    name: str,
    frame: pd.DataFrame,
    expectations: list[tuple[str, str, dict[str, Any]]],
) -> Any:
    """Run a suite on a frame; its results list every unexpected row by its id.

    An expectation is a reason code, the class's name and its arguments.
    """
    import great_expectations as gx

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = context.data_sources.add_pandas(name)
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
        suite = gx.ExpectationSuite(
            name,
            expectations=[
                getattr(gx.expectations, kind)(**kwargs, meta={"reason": reason, "rank": rank})
                for rank, (reason, kind, kwargs) in enumerate(expectations)
            ],
        )
        definition = gx.ValidationDefinition(name=name, data=batch, suite=context.suites.add(suite))
        return context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": frame},
            result_format={
                "result_format": "COMPLETE",
                "unexpected_index_column_names": ["id"] if "id" in frame else [],
                "return_unexpected_index_query": False,
            },
        )


def expectation_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every expectation of all suites, one after the other, with its suite's name."""
    return [
        {"suite": name, **_row(each)}
        for name, outcome in result["suites"].items()
        for each in outcome["results"]
    ]


def _row(outcome: Mapping[str, Any]) -> dict[str, Any]:
    """An expectation, whether it was met, and how many rows miss it."""
    config, found = outcome["expectation_config"], outcome["result"]
    hidden = ("batch_id", "column_set")
    kwargs = {name: value for name, value in config["kwargs"].items() if name not in hidden}
    return {
        "type": config["type"],
        "on": ", ".join(f"{name}={value}" for name, value in kwargs.items()),
        "success": outcome["success"],
        "unexpected": found.get("unexpected_count", ""),
    }
