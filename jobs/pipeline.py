"""Door for `ray job submit`: the same as `medray run`, with the artifacts outside the job's throw-away directory.

    ray job submit --working-dir . -- python jobs/pipeline.py --recipe tiny [--root s3://...] [--set a.b=v]

Ray gives the job RAY_ADDRESS, so the run joins that cluster. The root must be one that every node reaches: an object
store, or on a single machine any directory. Default: $MEDRAY_ROOT, else ~/medray-runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the uploaded working directory

from medray.cli import main  # noqa: E402

if __name__ == "__main__":
    os.environ.setdefault("MEDRAY_ROOT", str(Path.home() / "medray-runs"))
    sys.argv.insert(1, "run")
    main()
