"""The web pool: ingest anything, trust nothing, lose nothing.

:func:`ingest` makes a manifest row of every input and sanitised images of what decodes;
:func:`validate` judges the rows. Only pandas, pyarrow and Pillow are needed for a folder; the
rest (Great Expectations, s3fs, aiohttp) is imported where it is used.
"""

from coti.pool.ingest import IngestedPool, ingest, read_seeds
from coti.pool.manifest import diff, manifest_hash, read_manifest, write_manifest
from coti.pool.open_source import fingerprint_source
from coti.pool.pool_images import PoolImages
from coti.pool.reasons import REASONS
from coti.pool.validation import Validation, validate
from coti.settings.pool_sources import register_source

__all__ = [
    "REASONS",
    "IngestedPool",
    "PoolImages",
    "Validation",
    "diff",
    "fingerprint_source",
    "ingest",
    "manifest_hash",
    "read_manifest",
    "read_seeds",
    "register_source",
    "validate",
    "write_manifest",
]
