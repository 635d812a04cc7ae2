"""The manifest judged by Great Expectations: rows that miss one go to quarantine with its name.

Two suites run. ``rows`` says what an image must be like; whatever misses an expectation is
quarantined with the reason that the expectation carries. ``pool`` says what the whole must be
like; where it is not met the run stops with one sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from coti.core.errors import PoolError
from coti.pool.dedupe import mark_duplicates
from coti.pool.manifest import ACCEPTED, COLUMNS, QUARANTINED, check_sums, counts
from coti.pool.suite_runs import ephemeral_context, run_suite
from coti.pool.untrusted_text import as_number
from coti.settings import PoolSettings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Validation", "profile", "validate"]

_REFUSALS = ("opt_out", "watermark", "unsafe", "license")
"""Reasons that are about the image, whichever row says so."""
_SAFE = {"", "0", "0.0", "false", "f", "no", "n", "none", "null", "nan", "safe", "sfw"}


@dataclass
class Validation:
    """The verdict on a pool."""

    manifest: pd.DataFrame
    """All rows, in their order, with final ``status``, ``reason`` and ``expectation``."""
    result: dict[str, Any]
    """Great Expectations' results of both suites, as JSON; counts; profile; drift."""
    warnings: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> pd.DataFrame:
        """Rows that may be used."""
        rows = self.manifest[self.manifest["status"] == ACCEPTED]
        return rows.reset_index(drop=True)

    @property
    def quarantined(self) -> pd.DataFrame:
        """Rows that may not, with the reason."""
        rows = self.manifest[self.manifest["status"] == QUARANTINED]
        return rows.reset_index(drop=True)


def validate(
    manifest: pd.DataFrame,
    settings: PoolSettings,
    *,
    previous: Mapping[str, float] | None = None,
) -> Validation:
    """Judge every row, group the duplicates, then judge the pool.

    ``previous`` is the :func:`profile` of the last ingested version, to measure drift against.
    Raises :class:`PoolError` where the pool as a whole cannot be used.
    """
    context = ephemeral_context()
    judged = _derive(manifest, settings)
    rows = run_suite(context, "rows", judged[judged["status"] == ACCEPTED], _row_suite(settings))
    manifest = _apply(manifest, rows)
    manifest = mark_duplicates(
        manifest,
        near_bits=settings.near_duplicate_bits,
        near_difference=settings.near_duplicate_difference,
    )
    check_sums(manifest, len(manifest))
    now = profile(manifest)
    pool = run_suite(context, "pool", manifest, _pool_suite(settings))
    number = counts(manifest)
    if previous and settings.drift != "off" and len(manifest):
        drift = run_suite(context, "drift", _profile_frame(now), _drift_suite(previous, settings))
    else:
        drift = None
    parts = [part for part in (rows, pool, drift) if part is not None]
    missed = [r for r in (drift.results if drift else ()) if not r.success]
    notes = [_drift_sentence(result, previous or {}) for result in missed]
    result = {
        "suites": {part.suite_name: part.to_json_dict() for part in parts},
        "counts": number,
        "profile": now,
        "drift": notes,
    }
    validation = Validation(manifest, result, notes)
    problem = _pool_problem(pool, number, settings)
    if problem is None and notes and settings.drift == "stop":
        problem = (
            f"The pool has drifted: {'; '.join(notes)}. Check it, or raise pool_rules.max_drift."
        )
    if problem is not None:
        error = PoolError(problem)
        error.validation = validation  # type: ignore[attr-defined]
        raise error
    return validation


def profile(manifest: pd.DataFrame) -> dict[str, float]:
    """Means over the accepted rows and the accepted share: what drift is measured on."""
    good = manifest[manifest["status"] == ACCEPTED]
    means = {
        f"mean_{name}": float(good[name].mean()) if len(good) else 0.0
        for name in ("width", "height", "bytes", "caption_length")
    }
    return {**means, "accepted_share": len(good) / max(int(_meant(manifest).sum()), 1)}


def _meant(manifest: pd.DataFrame) -> pd.Series[bool]:
    """Rows of what could be an image; others' files, however many, say nothing of a pool."""
    return manifest["reason"] != "other_file"


def _row_suite(settings: PoolSettings) -> list[tuple[str, str, dict[str, Any]]]:
    """Reason code, expectation and its arguments, in the order in which reasons win."""
    between, within = "ExpectColumnValuesToBeBetween", "ExpectColumnValuesToBeInSet"
    suite: list[tuple[str, str, dict[str, Any]]] = [
        ("opt_out", within, {"column": "opted_out", "value_set": [False]}),
        ("too_small", between, {"column": "shorter_side", "min_value": settings.min_side}),
        ("odd_aspect", between, {"column": "aspect", "max_value": settings.max_aspect_ratio}),
        (
            "caption_too_long",
            between,
            {"column": "caption_length", "max_value": settings.max_raw_caption_length},
        ),
        ("watermark", between, {"column": "pwatermark", "max_value": settings.max_watermark}),
        ("unsafe", between, {"column": "punsafe", "max_value": settings.max_unsafe}),
        ("unsafe", within, {"column": "nsfw", "value_set": [""]}),
        ("low_similarity", between, {"column": "similarity", "min_value": settings.min_similarity}),
    ]
    if settings.allowed_licenses:
        allowed = list(settings.allowed_licenses)
        suite.append(("license", within, {"column": "license", "value_set": allowed}))
    for flag in settings.reject_quality:
        suite.append((flag, within, {"column": f"is_{flag}", "value_set": [False]}))
    return suite


def _pool_suite(settings: PoolSettings) -> list[tuple[str, str, dict[str, Any]]]:
    from great_expectations.expectations.row_conditions import Column

    least = 1.0 - settings.max_quarantined_share
    return [
        ("", "ExpectTableColumnsToMatchSet", {"column_set": list(COLUMNS)}),
        ("", "ExpectColumnValuesToBeUnique", {"column": "id"}),
        ("", "ExpectColumnValuesToNotBeNull", {"column": "id"}),
        (
            "",
            "ExpectColumnValuesToBeInSet",
            {"column": "status", "value_set": [ACCEPTED, QUARANTINED]},
        ),
        (
            "share",
            "ExpectColumnValuesToBeInSet",
            {
                "column": "status",
                "value_set": [ACCEPTED],
                "mostly": round(least, 9),
                "row_condition": Column("reason") != "other_file",
            },
        ),
        ("count", "ExpectTableRowCountToBeBetween", {"min_value": settings.min_accepted}),
    ]


def _drift_suite(
    previous: Mapping[str, float], settings: PoolSettings
) -> list[tuple[str, str, dict[str, Any]]]:
    suite: list[tuple[str, str, dict[str, Any]]] = []
    for name, value in previous.items():
        width = abs(value) * settings.max_drift
        bounds = {"min_value": value - width - 1e-9, "max_value": value + width + 1e-9}
        suite.append(("drift", "ExpectColumnMeanToBeBetween", {"column": name, **bounds}))
    return suite


def _derive(manifest: pd.DataFrame, settings: PoolSettings) -> pd.DataFrame:
    """Columns that the expectations look at beside the manifest's own."""
    shorter = manifest[["width", "height"]].min(axis=1)
    longer = manifest[["width", "height"]].max(axis=1)
    flags = manifest["quality"].str.split(",")
    derived: dict[str, Any] = {
        "shorter_side": shorter,
        "aspect": longer / shorter.clip(lower=1),
        "opted_out": manifest["opt_out"] != "",
        "nsfw": [_nsfw(text, settings) for text in manifest["nsfw"]],
    }
    for flag in settings.reject_quality:
        derived[f"is_{flag}"] = [flag in names for names in flags]
    return manifest.assign(**derived)


def _nsfw(said: str, settings: PoolSettings) -> str:
    """An NSFW column's value where it forbids the use, else an empty string."""
    allowed = _SAFE | {value.lower() for value in settings.allowed_nsfw}
    number = as_number(said)
    if said.strip().lower() in allowed or (number is not None and number <= settings.max_unsafe):
        return ""
    return said.strip()


def _apply(manifest: pd.DataFrame, outcome: Any) -> pd.DataFrame:
    """Quarantine what missed an expectation; the first one in the suite's order is the reason.

    What is refused is the image: copies of the same bytes go with the row that says so.
    """
    missed: dict[str, tuple[str, str, Any]] = {}
    refused: dict[str, tuple[str, str, Any]] = {}
    contents = dict(zip(manifest["id"], manifest["sha256"], strict=True))
    ranked = sorted(outcome.results, key=lambda r: int(r.expectation_config.meta["rank"]))
    for result in ranked:
        config = result.expectation_config
        if result.exception_info and result.exception_info.get("raised_exception"):
            raise PoolError(
                f"The expectation {config.type} on {config.kwargs['column']} failed: "
                f"{str(result.exception_info.get('exception_message'))[:200]}."
            )
        column = config.kwargs["column"]
        for row in result.result.get("unexpected_index_list") or ():
            name = f"{config.type}({column})"
            found = config.meta["reason"], name, row[column]
            missed.setdefault(str(row["id"]), found)
            if config.meta["reason"] in _REFUSALS:
                refused.setdefault(contents[row["id"]], found)
    columns = {
        name: manifest[name].tolist() for name in ("status", "reason", "expectation", "detail")
    }
    for place, identity in enumerate(manifest["id"]):
        verdict = missed.get(identity) or refused.get(contents[identity])
        if verdict and columns["status"][place] == ACCEPTED:
            reason, expectation, value = verdict
            columns["status"][place], columns["reason"][place] = QUARANTINED, reason
            columns["expectation"][place] = expectation
            shown = f"{value:.4g}" if isinstance(value, float) else value
            said = f"{expectation.partition('(')[2].rstrip(')')} is {shown}"
            if identity not in missed:
                said += " in another row of the same bytes"
            columns["detail"][place] = "; ".join(filter(None, [columns["detail"][place], said]))
    return manifest.assign(**columns)


def _pool_problem(outcome: Any, number: Mapping[str, int], settings: PoolSettings) -> str | None:
    total = number[ACCEPTED] + number[QUARANTINED]
    worst = _worst(number)
    if number[ACCEPTED] < max(settings.min_accepted, 1):
        return (
            f"Only {number[ACCEPTED]} of {total} inputs of the pool can be used, "
            f"{max(settings.min_accepted, 1)} are needed ({worst}): check the source."
        )
    failed = [r.expectation_config for r in outcome.results if not r.success]
    if any(config.meta["reason"] == "share" for config in failed):
        others = number.get("other_file", 0)
        return (
            f"{number[QUARANTINED] - others} of {total - others} inputs are in quarantine "
            f"({_worst(number, without='other_file')}), more than pool_rules.max_quarantined_share "
            f"{settings.max_quarantined_share:g}: check the source."
        )
    if failed:
        names = ", ".join(config.type for config in failed)
        return f"The pool's manifest is not sound ({names}): please report this."
    return None


def _worst(number: Mapping[str, int], without: str = "") -> str:
    """The three most frequent reasons, of :func:`~coti.pool.manifest.counts`."""
    reasons = [item for item in list(number.items())[2:] if item[0] != without]
    return ", ".join(f"{reason} {count}" for reason, count in reasons[:3])


def _drift_sentence(result: Any, previous: Mapping[str, float]) -> str:
    column = result.expectation_config.kwargs["column"]
    value = result.result.get("observed_value")
    return f"{column.replace('_', ' ')} was {previous[column]:.4g} and is {float(value or 0):.4g}"


def _profile_frame(values: Mapping[str, float]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([dict(values)])
