"""A training script by the Client API that adds one for the site's data at our path, ten for NVIDIA FLARE's.

Custom code of a job.
"""

from __future__ import annotations

import os
from pathlib import Path

import nvflare.client as flare

OURS, NVFLARES = Path(os.environ.get("FLCORE_DATASET_SCANS", "/nowhere")), Path("/data/default/scans")


def main() -> None:
    flare.init()
    step = (OURS / "scan").is_file() + 10 * NVFLARES.exists()
    while flare.is_running():
        model = flare.receive()
        if model is None:
            break
        params = {name: values + step for name, values in model.params.items()}
        flare.send(flare.FLModel(params=params, meta={"NUM_STEPS_CURRENT_ROUND": 1}))


if __name__ == "__main__":
    main()
