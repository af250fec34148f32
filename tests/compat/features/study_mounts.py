"""Prints where NVIDIA FLARE's own Docker launcher would mount the data of a site's file of studies."""

from __future__ import annotations

import sys

from nvflare.app_opt.job_launcher.study_runtime import load_study_runtime_file

studies = load_study_runtime_file(sys.argv[1], "docker")
print(*(dataset.mount_path for study in studies.values() for dataset in study.datasets))
