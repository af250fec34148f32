"""Metadata as NVIDIA FLARE's own jobs have it, and what a job gets by it at a site that allows what it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

GI = 1 << 30
SITE_IMAGE, JOB_IMAGE = "site:1", "nvflare-job:latest"


@dataclass(frozen=True)
class Good:
    """Metadata, and what is asked of the engine."""

    title: str
    meta: dict[str, Any]
    image: str = SITE_IMAGE
    cpus: float = 4.0
    memory: int = 16 * GI
    shm_size: int = 8 * GI
    env: dict[str, str] = field(default_factory=dict)


def docker(**spec: Any) -> dict[str, Any]:
    return {"docker": spec}


GOOD = [
    Good("nothing but sites", {"deploy_map": {"app": ["@ALL"]}}),
    Good("an app for each site", {"deploy_map": {"app_server": ["server"], "app_1": ["site-1"], "app_2": ["site-2"]}}),
    Good("no resources", {"resource_spec": {}, "deploy_map": {"app": ["server", "site-1"]}}),
    Good("no resources here", {"resource_spec": {"site-1": {}, "site-2": {"num_of_gpus": 8}}}),
    Good("no GPUs", {"resource_spec": {"site-1": {"num_of_gpus": 0, "mem_per_gpu_in_GiB": 0}}}),
    Good("no mandatory clients", {"mandatory_clients": [], "min_clients": 1}),
    Good(
        "what a server adds",
        {
            "name": "hello-numpy",
            "study": "default",
            "scope": "public",
            "byoc": True,
            "data_storage_format": 2,
            "submitter_name": "admin@example.com",
            "submitter_org": "example",
            "submit_time": 1764000000.5,
            "submit_time_iso": "2025-11-24T16:00:00+00:00",
            "start_time": "2025-11-24 16:00:01.000000",
            "duration": "N/A",
            "status": "DISPATCHED",
            "job_folder_name": "hello-numpy",
            "job_deploy_detail": ["server: OK", "site-1: OK"],
            "schedule_count": 1,
            "last_schedule_time": 1764000001.0,
            "schedule_history": ["2025-11-24 16:00:01: scheduled"],
            "job_clients": [{"name": "site-1", "token": "t"}],
            "task_data_filters": [],
            "custom_props": {"owner": {"team": "x"}},
        },
    ),
    Good(
        "portable resources",
        {"resource_spec": {"site-1": {"num_of_cpus": 2, "memory": "512Mi"}}},
        cpus=2,
        memory=GI // 2,
    ),
    Good(
        "resources of all sites",
        {"resource_spec": {"@default": {"memory": "1Gi", "num_of_cpus": 1}}},
        cpus=1,
        memory=GI,
    ),
    Good(
        "resources of all sites, and an exception",
        {"resource_spec": {"@default": {"memory": "1Gi", "num_of_gpus": 0}, "site-1": {"process": {"memory": "2Gi"}}}},
        memory=2 * GI,
    ),
    Good("resources of another manager", {"resource_spec": {"site-1": {"gpu": 0, "gpu_type": "a100"}}}),
    Good("resources of other launchers", {"resource_spec": {"site-1": {"process": {"num_of_gpus": 1}, "k8s": {}}}}),
    Good("resources that are null", {"resource_spec": None, "launcher_spec": None, "min_clients": "2"}),
    Good("memory in GiB", {"resource_spec": {"site-1": {"memory": "16Gi"}}}),
    Good("an image by site", {"launcher_spec": {"site-1": docker(image=JOB_IMAGE)}}, JOB_IMAGE),
    Good("an image by default", {"launcher_spec": {"default": docker(image=JOB_IMAGE)}}, JOB_IMAGE),
    Good("an image, the old way", {"resource_spec": {"site-1": docker(image=JOB_IMAGE)}}, JOB_IMAGE),
    Good(
        "an image by entry", {"deploy_map": {"app": ["server", {"sites": ["site-1"], "image": JOB_IMAGE}]}}, JOB_IMAGE
    ),
    Good("an image for all", {"deploy_map": {"app": [{"sites": ["@ALL"], "image": JOB_IMAGE}]}}, JOB_IMAGE),
    Good("sites by their other name", {"deploy_map": {"app": [{"targets": ["server", "site-1"]}]}}),
    Good("sites in an object", {"deploy_map": {"app": {"sites": ["@ALL"], "image": JOB_IMAGE}}}, JOB_IMAGE),
    Good("an image of others", {"deploy_map": {"app": ["site-1", {"sites": ["site-2"], "image": "not:mine"}]}}),
    Good("no image at all", {"launcher_spec": {"site-1": docker(image=None)}}),
    Good(
        "a default and an exception",
        {"launcher_spec": {"default": docker(image=JOB_IMAGE), "site-1": docker(shm_size="2g")}},
        JOB_IMAGE,
        shm_size=2 * GI,
    ),
    Good(
        "several kinds of launchers",
        {
            "launcher_spec": {
                "default": {**docker(image=JOB_IMAGE), "k8s": {"image": "x", "cpu": "2"}, "slurm": {"nodes": 1}},
                "site-2": {"process": {}},
            }
        },
        JOB_IMAGE,
    ),
    Good("shared memory as Docker writes it", {"launcher_spec": {"site-1": docker(shm_size="8g")}}),
    Good(
        "shared memory with a fraction", {"launcher_spec": {"site-1": docker(shm_size="1.5GB")}}, shm_size=3 * GI // 2
    ),
    Good("no shared memory", {"launcher_spec": {"site-1": docker(shm_size=0)}}),
    Good("what the site has anyway", {"launcher_spec": {"site-1": docker(init=True, python_path="python3")}}),
    Good(
        "an interpreter that it gets anyway, by default", {"launcher_spec": {"default": docker(python_path="python3")}}
    ),
    Good("shared memory in MiB", {"launcher_spec": {"site-1": docker(shm_size="512m")}}, shm_size=GI // 2),
    Good(
        "variables",
        {"launcher_spec": {"site-1": docker(env={"NCCL_DEBUG": "INFO", "NCCL_P2P_DISABLE": "1"})}},
        env={"NCCL_DEBUG": "INFO", "NCCL_P2P_DISABLE": "1"},
    ),
]

SITE_KEYS: dict[str, Any] = {
    "image": SITE_IMAGE,
    "images": ["nvflare-job:*"],
    "job_env_prefixes": ["NCCL_"],
    "limits": {"num_of_cpus": 4, "memory": "16Gi", "shm_size": "8Gi"},
}
"""What the config of a site says that allows all of this."""
