"""Writes the job of a feature as its author does, by NVIDIA FLARE's job API, in whose interpreter it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from nvflare.app_common.np.np_model_locator import NPModelLocator
from nvflare.app_common.np.np_model_persistor import NPModelPersistor
from nvflare.app_common.np.np_trainer import NPTrainer
from nvflare.app_common.np.np_validator import NPValidator
from nvflare.app_common.widgets.validation_json_generator import ValidationJsonGenerator
from nvflare.app_common.workflows.cross_site_model_eval import CrossSiteModelEval
from nvflare.app_common.workflows.fedavg import FedAvg
from nvflare.job_config.api import FedJob

ROUNDS = 2


def client_api(name: str, in_another_process: bool) -> FedJob:
    from nvflare.fuel.utils.constants import FrameworkType
    from nvflare.job_config.script_runner import ScriptRunner

    job = _averaging(name)
    script, framework = "client_api.py", FrameworkType.NUMPY
    job.to_clients(ScriptRunner(script=script, launch_external_process=in_another_process, framework=framework))
    return job


def cross_site_evaluation(name: str) -> FedJob:
    job = _averaging(name)
    locator = job.to_server(NPModelLocator())
    job.to_server(CrossSiteModelEval(model_locator_id=locator, submit_model_timeout=30, validation_timeout=30))
    job.to_server(ValidationJsonGenerator())
    job.to_clients(NPTrainer(), tasks=["train", "submit_model"])
    job.to_clients(NPValidator(), tasks=["validate"])
    return job


def statistics(name: str) -> FedJob:
    from nvflare.job_config.stats_job import StatsJob
    from statistics_of_site import OnesOfSite  # type: ignore[import-not-found]  # found beside this script

    asked: dict[str, dict[str, object]] = {"count": {}, "sum": {}, "mean": {}}
    job = StatsJob(name, asked, OnesOfSite(), "statistics/all.json", min_count=1)
    job.setup_clients(["site-1", "site-2"])
    return job


def file_exchange(name: str) -> FedJob:
    from file_exchange import TASK, Receiver, Sender  # type: ignore[import-not-found]  # found beside this script

    job = FedJob(name, min_clients=2)
    job.to_server(Receiver())
    job.to_clients(Sender(), tasks=[TASK])
    return job


def log_streaming(name: str) -> FedJob:
    from nvflare.app_common.logging.job_log_receiver import JobLogReceiver
    from nvflare.app_common.logging.job_log_streamer import JobLogStreamer

    job = _averaging(name)
    job.to_clients(NPTrainer(), tasks=["train"])
    job.to_clients(JobLogStreamer())
    job.to_server(JobLogReceiver())
    return job


def _averaging(name: str) -> FedJob:
    job = FedJob(name, min_clients=2)
    persistor = job.to_server(NPModelPersistor())
    job.to_server(FedAvg(num_clients=2, num_rounds=ROUNDS, persistor_id=persistor))
    return job


JOBS: dict[str, Callable[[str], FedJob]] = {
    "client-api": lambda name: client_api(name, in_another_process=False),
    "client-api-process": lambda name: client_api(name, in_another_process=True),
    "cross-site-evaluation": cross_site_evaluation,
    "statistics": statistics,
    "file-exchange": file_exchange,
    "log-streaming": log_streaming,
}


if __name__ == "__main__":
    name, folder = sys.argv[1:]
    os.chdir(Path(__file__).parent)  # a job names its scripts by where they are for its author
    JOBS[name](name).export_job(folder)
