"""What part of a pool's images is used, and that a person is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from coti.core.fitting import Fit
from coti.core.images import from_pil
from coti.pool.cut_images import cut_sentence
from coti.pool.decode.decoder import Limits, decode_image
from coti.pool.ingest import ingest
from coti.pool.pool_images import PoolImages
from coti.pool.pool_report import render_report
from coti.pool.references import read_references
from coti.pool.validation import validate
from coti.settings import PoolSettings
from tests.coti.pool.conftest import encoded, image


def test_pool_and_references_are_cut_alike_and_it_is_said(
    pool_of: Callable[..., Path], settings: PoolSettings, tmp_path: Path
) -> None:
    """The same file gives the same pixels wherever it comes in. The report says what is lost, and
    shows it where it is over a quarter of the long side."""
    fit = Fit("crop", (0.5, 0.1))
    files = {"tall.png": encoded(image(1, (40, 80))), "wide.png": encoded(image(2, (50, 40)))}
    root = pool_of({**files, "tall.txt": b"a <tall> bird"})
    read = ingest(str(root), settings, 32, fit=fit)
    ids = [str(each) for each in read.manifest["id"]]
    expected = from_pil([image(1, (40, 80)), image(2, (50, 40))], 32, fit)
    assert torch.equal(read.pool_images.tensor(ids), expected)
    assert torch.equal(read_references(root, 32, fit), expected)
    assert not torch.equal(from_pil([image(1, (40, 80))], 32)[0], expected[0])
    assert [read.pool_images.whole(each) is not None for each in ids] == [True, False]
    assert read.pool_images.ids == ids
    read.pool_images.write(tmp_path / "again.parquet")
    assert PoolImages(tmp_path / "again.parquet").hashes == read.pool_images.hashes

    verdict = validate(read.manifest, settings)
    page = render_report("x", "folder", verdict, read.pool_images, (), fit)
    assert "1 of 2 accepted images, 50 %, loses over a quarter" in page
    assert page.count("<br>50 % cut off") == 2
    assert page.count("<br>20 % cut off") == 1
    assert page.count('<img alt="a &lt;tall&gt; bird"') == 2
    page = render_report("x", "folder", verdict, read.pool_images, (), Fit("pad"))
    assert "images.fit: pad" in page
    assert "% cut off" not in page
    page = render_report("x", "folder", verdict, None)  # they lie in a store far away
    assert "<img" not in page
    assert "tall.png" in page


@pytest.mark.parametrize("fit", [Fit(), Fit("pad"), Fit("contain")])
def test_a_stranger_is_fitted_as_ones_own_image(fit: Fit) -> None:
    """In the sandbox's decoder as anywhere."""
    decoded = decode_image(encoded(image(1, (40, 80))), Limits(32, measure=False, fit=fit))
    own = from_pil([image(1, (40, 80))], 32, fit)[0].permute(1, 2, 0).numpy()
    assert decoded.pixels == own.tobytes()


def test_little_cut_is_no_sentence() -> None:
    """A quarter is what 4 : 3 loses, the commonest shape of all."""
    assert cut_sentence([0.25, 0.0], "the seeds") == ""
    assert cut_sentence([], "the seeds") == ""
    assert cut_sentence([0.26, 0.5, 0.0], "the seeds").startswith("2 of the seeds, 67 %, lose over")
