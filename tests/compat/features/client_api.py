"""A training script by NVIDIA FLARE's Client API: adds one to the model, round by round. Custom code of a job."""

from __future__ import annotations

import nvflare.client as flare


def main() -> None:
    flare.init()
    while flare.is_running():
        model = flare.receive()
        if model is None:
            break
        params = {name: values + 1 for name, values in model.params.items()}
        flare.send(flare.FLModel(params=params, meta={"NUM_STEPS_CURRENT_ROUND": 1}))


if __name__ == "__main__":
    main()
