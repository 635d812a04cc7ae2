"""Great Expectations (1.x) in memory, sending nothing anywhere: one suite on one table."""

from __future__ import annotations

import logging
import os
import re
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["as_html", "ephemeral_context", "run_suite"]

_REMOTE = re.compile(r"<(script|link|img)\b[^>]*\b(src|href)=\"https?:[^>]*>(</script>)?")


def ephemeral_context() -> Any:
    """A context in memory, of the library imported quietly and with its analytics off."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    for name in ("great_expectations", "great_expectations.expectations.registry"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


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


def as_html(outcomes: list[Any]) -> str:
    """Great Expectations' page for each suite, one under the other, without remote parts."""
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    pages = []
    for outcome in outcomes:
        outcome.meta["run_id"] = None
        for result in outcome.results:  # the page cannot print numpy's numbers
            if "observed_value" in result.result and hasattr(
                result.result["observed_value"], "item"
            ):
                result.result["observed_value"] = result.result["observed_value"].item()
        view: Any = DefaultJinjaPageView()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            page = view.render(ValidationResultsPageRenderer().render(outcome))
        pages.append(_REMOTE.sub("", page))
    return "\n".join(pages)
