"""What was noted beside a pool, or of an earlier version of it, may be damaged."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

import ops.tracking.pool_history
from coti.core.errors import StoreError
from ops.experiment_pools import LEFT, PoolStore
from ops.regimes_file import PoolKey, SeedsKey
from ops.tracking.pool_history import last_profile

DAMAGED = ["", "{", "null", "[1]", '"x"']


def test_a_damaged_list_of_what_is_left_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to remove."""
    (tmp_path / LEFT).write_text("{")
    monkeypatch.setattr(PoolStore, "pool", lambda self, key: tmp_path)
    monkeypatch.setattr("ops.experiment_pools._builder", lambda: None)
    pool, seeds = PoolKey("boot", "train", 0, None, None), SeedsKey("few", 3, 0)
    with pytest.raises(StoreError, match=rf"is damaged: remove {tmp_path}"):
        PoolStore(tmp_path).seeds(pool, seeds)


@pytest.mark.parametrize("text", DAMAGED[:2] + DAMAGED[3:])
def test_a_damaged_profile_is_a_sentence(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which pool's, and the command that forgets it."""
    said = {"coti_pool": "p", "coti_pool_fingerprint": "old", "coti_pool_profile": text}
    found = SimpleNamespace(items=[SimpleNamespace(id="7", run_metadata=said)])
    client = SimpleNamespace(list_artifact_versions=lambda **asked: found)
    monkeypatch.setattr(ops.tracking.pool_history, "Client", lambda: client)
    with pytest.raises(StoreError, match=r"earlier version of the pool p .* delete 7"):
        last_profile("p", "new")
