"""The pools of the pool's tests."""

from tests.coti.pool.conftest import pool_of

__all__ = ["pool_of"]
