"""Jobs whose right result is known: each of two clients adds one to a matrix of three by three, round by round."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

TRAINER = Path(__file__).with_name("trainer.py")
_APP_COMMON = "nvflare.app_common"


class Submitted(Protocol):
    """What a federation needs to know of a job."""

    @property
    def name(self) -> str:
        """The name of its folder."""

    @property
    def model(self) -> list[list[float]] | None:
        """The right result; None if that is no model, and whoever submits the job looks at it."""

    def write(self, folder: Path, more_meta: Mapping[str, Any]) -> Path:
        """Write the job's folder into another one, and return it."""


@dataclass(frozen=True)
class Job:
    """A job as its submitter writes it."""

    name: str = "hello-numpy"
    rounds: int = 3
    trainer: Mapping[str, Any] | None = None
    """Arguments of our own trainer, which is custom code of the job (see ``trainer.py``); None is NVIDIA FLARE's."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What its ``meta.json`` says more, or instead."""

    @property
    def model(self) -> list[list[float]]:
        """The right result."""
        return [[float(3 * row + column + 1 + self.rounds) for column in range(3)] for row in range(3)]

    def write(self, folder: Path, more_meta: Mapping[str, Any]) -> Path:
        """Write the job's folder into another one, and return it. The job's own ``meta`` prevails."""
        job = folder / self.name
        shutil.rmtree(job, ignore_errors=True)
        meta = {"name": self.name, "resource_spec": {}, "deploy_map": {"app": ["@ALL"]}, "min_clients": 2}
        _write(job / "meta.json", {**meta, **more_meta, **self.meta})
        _write(job / "app/config/config_fed_server.json", self._server())
        _write(job / "app/config/config_fed_client.json", self._client())
        if self.trainer is not None:
            (job / "app/custom").mkdir()
            shutil.copy(TRAINER, job / "app/custom/compat_trainer.py")
        return job

    def _server(self) -> dict[str, Any]:
        workflow = {
            "min_clients": 2,
            "num_rounds": self.rounds,
            "wait_time_after_min_received": 0,
            "aggregator_id": "aggregator",
            "persistor_id": "persistor",
            "shareable_generator_id": "shareable_generator",
            "train_task_name": "train",
        }
        aggregator = "aggregators.intime_accumulate_model_aggregator.InTimeAccumulateWeightedAggregator"
        generator = "shareablegenerators.full_model_shareable_generator.FullModelShareableGenerator"
        return {
            "format_version": 2,
            "components": [
                _component("persistor", "np.np_model_persistor.NPModelPersistor"),
                _component("shareable_generator", generator),
                _component("aggregator", aggregator, expected_data_kind="WEIGHTS"),
            ],
            "workflows": [_component("workflow", "workflows.scatter_and_gather.ScatterAndGather", **workflow)],
        }

    def _client(self) -> dict[str, Any]:
        own = {"path": "compat_trainer.Trainer", "args": self.trainer}
        executor = own if self.trainer is not None else {"path": f"{_APP_COMMON}.np.np_trainer.NPTrainer", "args": {}}
        return {"format_version": 2, "executors": [{"tasks": ["train"], "executor": executor}], "components": []}


def _component(name: str, path: str, **args: Any) -> dict[str, Any]:
    return {"id": name, "path": f"{_APP_COMMON}.{path}", "args": args}


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2))
