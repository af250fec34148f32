"""Jobs whose right result is known: each of two clients adds one to a matrix of three by three, round by round."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

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

    @property
    def is_kept_by_clients(self) -> bool:
        """Whether the result is in each client's folder of the job, and not with the server."""

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
    is_kept_by_clients: ClassVar[bool] = False

    @property
    def model(self) -> list[list[float]]:
        """The right result."""
        return [[float(3 * row + column + 1 + self.steps) for column in range(3)] for row in range(3)]

    @property
    def steps(self) -> int:
        """How often one is added."""
        return self.rounds

    def write(self, folder: Path, more_meta: Mapping[str, Any]) -> Path:
        """Write the job's folder into another one, and return it. The job's own ``meta`` prevails."""
        job = folder / self.name
        shutil.rmtree(job, ignore_errors=True)
        meta = {"name": self.name, "resource_spec": {}, "deploy_map": {"app": ["@ALL"]}, "min_clients": 2}
        _write(job / "meta.json", {**meta, **more_meta, **self.meta})
        _write(job / "app/config/config_fed_server.json", self.server_config())
        _write(job / "app/config/config_fed_client.json", self.client_config())
        if self.trainer is not None:
            (job / "app/custom").mkdir()
            shutil.copy(TRAINER, job / "app/custom/compat_trainer.py")
        return job

    def server_config(self) -> dict[str, Any]:
        workflow = {
            "min_clients": 2,
            "num_rounds": self.rounds,
            "wait_time_after_min_received": 0,
            "aggregator_id": "aggregator",
            "persistor_id": "persistor",
            "shareable_generator_id": "shareable_generator",
            "train_task_name": "train",
        }
        return {
            "format_version": 2,
            "components": _components(),
            "workflows": [_component("workflow", "workflows.scatter_and_gather.ScatterAndGather", **workflow)],
        }

    def client_config(self) -> dict[str, Any]:
        return {"format_version": 2, "executors": [self.training()], "components": []}

    def training(self) -> dict[str, Any]:
        """Return who trains at a client."""
        own = {"path": "compat_trainer.Trainer", "args": self.trainer}
        executor = own if self.trainer is not None else {"path": f"{_APP_COMMON}.np.np_trainer.NPTrainer", "args": {}}
        return {"tasks": ["train"], "executor": executor}


@dataclass(frozen=True)
class ClientControlledJob(Job):
    """One in which clients hand the model to each other, by secure messages; the server only looks on."""

    is_kept_by_clients: ClassVar[bool] = True
    workflow: ClassVar[str]
    """Between ``ccwf.`` and ``ServerController`` or ``ClientController``, of NVIDIA FLARE's classes."""
    client_args: ClassVar[Mapping[str, Any]] = {}

    def server_config(self) -> dict[str, Any]:
        controller = _component("controller", f"ccwf.{self.workflow}ServerController", num_rounds=self.rounds)
        return {"format_version": 2, "components": [], "workflows": [controller]}

    def client_config(self) -> dict[str, Any]:
        controller = {"path": f"{_APP_COMMON}.ccwf.{self.workflow}ClientController", "args": self.client_args}
        executors = [self.training(), {"tasks": [f"{self.workflow.lower()}_*"], "executor": controller}]
        return {"format_version": 2, "executors": executors, "components": _components()}


@dataclass(frozen=True)
class SwarmJob(ClientControlledJob):
    """Swarm learning: a client gathers, another one in each round."""

    name: str = "swarm"
    trainer: Mapping[str, Any] | None = field(default_factory=dict)  # NVIDIA FLARE's changes what others gather
    workflow: ClassVar[str] = "Swarm"
    client_args: ClassVar[Mapping[str, Any]] = {"wait_time_after_min_resps_received": 0.1, "min_responses_required": 2}


@dataclass(frozen=True)
class CyclicJob(ClientControlledJob):
    """One client after the other trains, in each round."""

    name: str = "cyclic"
    workflow: ClassVar[str] = "Cyclic"

    @property
    def steps(self) -> int:
        return 2 * self.rounds


def _components() -> list[dict[str, Any]]:
    """Return what who gathers needs."""
    aggregator = "aggregators.intime_accumulate_model_aggregator.InTimeAccumulateWeightedAggregator"
    generator = "shareablegenerators.full_model_shareable_generator.FullModelShareableGenerator"
    return [
        _component("persistor", "np.np_model_persistor.NPModelPersistor"),
        _component("shareable_generator", generator),
        _component("aggregator", aggregator, expected_data_kind="WEIGHTS"),
    ]


def _component(name: str, path: str, **args: Any) -> dict[str, Any]:
    return {"id": name, "path": f"{_APP_COMMON}.{path}", "args": args}


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2))
