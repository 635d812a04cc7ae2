from __future__ import annotations

import dataclasses
import json
import logging
import os
from typing import Any

import pytest

from coti.core.errors import PoolError
from coti.pool.manifest import to_frame
from coti.pool.suite_runs import ephemeral_context
from coti.pool.validation import profile, validate
from coti.settings import PoolSettings

SETTINGS = PoolSettings(near_duplicate_bits=-1, max_quarantined_share=1.0)


def rows(*changes: dict[str, Any]) -> Any:
    """A manifest of good rows with the changes, one row each."""
    good: dict[str, Any] = {
        "status": "accepted",
        "width": 640,
        "height": 480,
        "bytes": 1000,
        "caption_length": 10,
        "phash": "0" * 16,
    }
    return to_frame(
        [
            {**good, "id": f"{n}", "source": f"{n}.jpg", "sha256": f"{n:064x}", **change}
            for n, change in enumerate(changes)
        ]
    )


@pytest.mark.parametrize(
    ("change", "settings", "reason", "expectation"),
    [
        ({"width": 8}, {}, "too_small", "expect_column_values_to_be_between(shorter_side)"),
        ({"width": 1500}, {}, "odd_aspect", "expect_column_values_to_be_between(aspect)"),
        (
            {"caption_length": 10**6},
            {},
            "caption_too_long",
            "expect_column_values_to_be_between(caption_length)",
        ),
        ({"pwatermark": 0.9}, {}, "watermark", "expect_column_values_to_be_between(pwatermark)"),
        ({"punsafe": 0.9}, {}, "unsafe", "expect_column_values_to_be_between(punsafe)"),
        (
            {"similarity": 0.1},
            {"min_similarity": 0.2},
            "low_similarity",
            "expect_column_values_to_be_between(similarity)",
        ),
        ({"opt_out": "noai: other"}, {}, "opt_out", "expect_column_values_to_be_in_set(opted_out)"),
        *[
            ({"nsfw": said}, {}, "unsafe", "expect_column_values_to_be_in_set(nsfw)")
            for said in ("NSFW", "UNSURE", "true", "0.9", "1", "explicit")
        ],
        (
            {"license": "all rights reserved"},
            {"allowed_licenses": ("cc0",)},
            "license",
            "expect_column_values_to_be_in_set(license)",
        ),
        (
            {"quality": "dark,blurry"},
            {"reject_quality": ("blurry",)},
            "blurry",
            "expect_column_values_to_be_in_set(is_blurry)",
        ),
    ],
)
def test_each_expectation_quarantines_its_rows(
    change: dict[str, Any], settings: dict[str, Any], reason: str, expectation: str
) -> None:
    """A row that misses one expectation is quarantined with its name; its neighbours are not."""
    good = {"license": "cc0"}
    chosen = PoolSettings(near_duplicate_bits=-1, **settings)
    verdict = validate(rows(good, {**good, **change}, good), chosen)
    assert list(verdict.manifest["reason"]) == ["", reason, ""]
    assert verdict.quarantined["expectation"][0] == expectation
    assert len(verdict.accepted) == 2


def test_an_nsfw_column_that_says_no_or_may_say_so_refuses_nothing() -> None:
    """LAION-400M's UNLIKELY, the usual ways to say no, and what a setting allows are accepted."""
    said = ["UNLIKELY", "False", "0", "0.01", "sfw", "", "unsure"]
    settings = dataclasses.replace(SETTINGS, allowed_nsfw=("unlikely", "UNSURE"))
    result = validate(rows(*[{"nsfw": each} for each in said]), settings)
    assert len(result.accepted) == len(said)


def test_unknown_values_miss_nothing() -> None:
    """A row without similarity, watermark or unsafe scores is not judged by them."""
    verdict = validate(rows({}, {}), PoolSettings(min_similarity=0.9, near_duplicate_bits=-1))
    assert len(verdict.accepted) == 2


def test_a_row_that_misses_several_has_the_first_as_its_reason() -> None:
    """There is exactly one reason, by the documented order; earlier reasons stay."""
    verdict = validate(
        rows({}, {"width": 4, "punsafe": 1.0}, {"status": "quarantined", "reason": "truncated"}),
        SETTINGS,
    )
    assert list(verdict.manifest["reason"]) == ["", "too_small", "truncated"]


def test_a_pool_of_mostly_bad_rows_stops_the_run() -> None:
    """The sentence has the numbers, the share and the most frequent reason."""
    bad = {"status": "quarantined", "reason": "empty_file"}
    with pytest.raises(PoolError, match=r"3 of 4 .*empty_file 3.*max_quarantined_share 0\.5"):
        validate(rows({}, bad, bad, bad), PoolSettings(max_quarantined_share=0.5))


def test_files_that_are_no_images_by_name_do_not_count_as_bad() -> None:
    """Sounds and texts beside the images are rows, but not a bad pool, and no drift."""
    sound = {"status": "quarantined", "reason": "other_file"}
    rules = PoolSettings(max_quarantined_share=0.5, drift="stop")
    before = profile(rows({}))
    verdict = validate(rows({}, sound, sound, sound), rules, previous=before)
    assert verdict.result["counts"] == {"accepted": 1, "quarantined": 3, "other_file": 3}
    bad = {"status": "quarantined", "reason": "empty_file"}
    with pytest.raises(PoolError, match=r"2 of 3 inputs are in quarantine \(empty_file 2\), more"):
        validate(rows({}, bad, bad, sound, sound, sound), rules)


def test_too_few_good_rows_stop_the_run() -> None:
    """The sentence says how many there are and how many are needed."""
    with pytest.raises(PoolError, match=r"Only 2 of 2 .* 5 are needed"):
        validate(rows({}, {}), PoolSettings(min_accepted=5))


def test_drift_against_the_last_version_is_said_or_stops() -> None:
    """Images of a tenth of the size are a drift; by default a warning, on demand an error."""
    before = profile(rows({}, {}))
    small = rows({"width": 64, "height": 48}, {"width": 64, "height": 48})
    verdict = validate(small, SETTINGS, previous=before)
    assert "mean width was 640 and is 64" in verdict.warnings
    with pytest.raises(PoolError, match=r"drifted: mean width .*pool_rules\.max_drift"):
        validate(small, PoolSettings(near_duplicate_bits=-1, drift="stop"), previous=before)
    assert validate(rows({}, {}), SETTINGS, previous=before).warnings == []


def test_the_result_is_json() -> None:
    """Results serialise and list the unexpected rows, and nothing is sent anywhere."""
    verdict = validate(rows({}, {"width": 4}), SETTINGS)
    text = json.dumps(verdict.result)
    assert '"too_small"' in text
    assert os.environ["GX_ANALYTICS_ENABLED"] == "false"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"opt_out": "noai"}, "opt_out"),
        ({"nsfw": "NSFW"}, "unsafe"),
        ({"pwatermark": 0.9}, "watermark"),
        ({"license": "all rights reserved", "caption_length": 10**6}, "license"),
    ],
)
@pytest.mark.parametrize("refusing", [0, 1])
def test_what_is_refused_in_one_row_is_refused_in_all_of_its_copies(
    said: dict[str, Any], reason: str, refusing: int
) -> None:
    """Wherever the refusal stands, and whatever else is wrong with its row; others stay."""
    copies: list[dict[str, Any]] = [{"sha256": "c" * 64, "license": "cc0"} for _ in range(2)]
    copies[refusing] |= said
    chosen = dataclasses.replace(SETTINGS, allowed_licenses=("cc0",))
    manifest = validate(rows(*copies, {"license": "cc0"}), chosen).manifest
    assert list(manifest["status"]) == ["quarantined", "quarantined", "accepted"]
    copy = manifest.iloc[1 - refusing]
    assert copy["reason"] == reason
    assert copy["detail"].endswith("in another row of the same bytes")


def test_great_expectations_says_nothing_on_the_terminal() -> None:
    """Some of its loggers have levels of their own, whoever gave them these."""
    own = logging.getLogger("great_expectations.data_context.types.base")
    own.setLevel(logging.INFO)
    ephemeral_context()
    assert not own.isEnabledFor(logging.WARNING)
