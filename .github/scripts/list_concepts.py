"""Print ``concepts=[…]``: the run files below configs/concepts, or the one that WANTED names."""

from __future__ import annotations

import json
import os
from pathlib import Path

wanted = os.environ.get("WANTED", "")
names = sorted(path.stem for path in Path("configs/concepts").glob("*.yaml"))
if wanted and wanted not in names:
    raise SystemExit(f"configs/concepts has no {wanted!r}; there are {', '.join(names)}.")
print("concepts=" + json.dumps([wanted] if wanted else names))
