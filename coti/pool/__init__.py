"""The web pool: ingest anything, trust nothing, lose nothing.

:func:`ingest` makes a manifest row of every input and sanitised images of what decodes;
:func:`validate` judges the rows. Only pandas, pyarrow and Pillow are needed for a folder; the
rest (Great Expectations, boto3, aiohttp) is imported where it is used.
"""

from coti.pool.ingest import IngestedPool, ingest, read_seeds
from coti.pool.manifest import diff, manifest_hash, read_manifest, write_manifest
from coti.pool.pool_images import PoolImages
from coti.pool.reasons import REASONS
from coti.pool.sources import fingerprint_source
from coti.pool.validation import Validation, validate

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
    "validate",
    "write_manifest",
]
