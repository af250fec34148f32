"""A training script by the Client API that adds one if it sees the site's data.

Custom code of a job.
"""

from __future__ import annotations

import os
from pathlib import Path

import nvflare.client as flare

DATA = Path(os.environ.get("FLCORE_DATASET_SCANS", "/nowhere"))


def main() -> None:
    flare.init()
    step = int((DATA / "scan").is_file())
    while flare.is_running():
        model = flare.receive()
        if model is None:
            break
        params = {name: values + step for name, values in model.params.items()}
        flare.send(flare.FLModel(params=params, meta={"NUM_STEPS_CURRENT_ROUND": 1}))


if __name__ == "__main__":
    main()
