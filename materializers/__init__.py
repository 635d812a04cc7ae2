"""How artifacts are stored: safetensors, Parquet, PNG and JSON; never pickle.

Importing any of them has ZenML store plain values by :mod:`materializers.json_value`.
"""

import materializers.json_value  # noqa: F401  (registers itself)
