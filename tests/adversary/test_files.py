"""Every hostile image file ends as an image or one reason, the same at every entry point."""

from __future__ import annotations

import itertools
import os
import random
import re
import time
from pathlib import Path

import numpy as np

from coti.core.errors import PoolError
from coti.core.images import from_pil, read_image
from coti.pool.decode.decoder import Limits
from coti.pool.decode.sandbox import DecodePool
from coti.pool.reasons import Rejected
from tests.adversary.files import hostile_files

COUNT = int(os.environ.get("ATTACK_FILES", "120"))


def test_hostile_files_end_as_an_image_or_one_reason(tmp_path: Path, attack_seed: int) -> None:
    """In the sandbox (pool, seeds) and outside (references, edits): no crash, no hang, the same
    pixels or the same reason, and none because a confined decoder wanted a file.
    """
    ends: dict[str, int] = {}
    with DecodePool(Limits(16), workers=1, timeout=20, memory=2_000_000_000) as pool:
        for path in itertools.islice(hostile_files(random.Random(attack_seed), tmp_path), COUNT):
            data = path.read_bytes()
            begun = time.monotonic()
            try:
                inside = np.frombuffer(pool.decode(data).pixels, np.uint8).reshape(16, 16, 3)
                reason, detail = "", ""
            except Rejected as rejected:
                reason, detail = rejected.reason, rejected.detail
            assert not re.search(r"Import|Module|Permission|not permitted|Errno", detail), detail
            assert reason not in ("decode_crashed", "decode_timeout"), (path, detail)
            try:
                outside = from_pil([read_image(path)], 16)[0].permute(1, 2, 0).numpy()
                assert not reason, (path, reason, detail)
                assert np.array_equal(inside, outside), path
            except PoolError as error:
                said = str(error)
                assert "\n" not in said, said
                assert f"({reason}: " in said, (path, reason, detail, said)
            assert time.monotonic() - begun < 20
            ends[reason] = ends.get(reason, 0) + 1
            path.unlink()
    assert ends[""] >= COUNT // 10, ends
    assert len(ends) >= 4, ends
