"""What a job asks for and gets, as somebody would approve it: the same for two runs of the same job. Pure.

What the site's config gives to all jobs alike, such as its variables or how containers are shut in, is not among it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from flcore.fl_constant import JobProcessArgs as Arg
from flcore.job_launcher_spec import JobArgs

from ..container_spec import ContainerSpec, Mount, OwnNetwork
from .job_policy import JobRequest

_OF_ONE_RUN = (
    *(Arg.WORKSPACE, Arg.STARTUP_DIR, Arg.APP_ROOT, Arg.AUTH_TOKEN, Arg.TOKEN_SIGNATURE, Arg.SSID, Arg.JOB_ID),
    *(Arg.ROOT_URL, Arg.PARENT_URL, Arg.SERVICE_HOST, Arg.SERVICE_PORT, Arg.TARGET),
)
"""Arguments that say where a run finds things, and who it is: others each time, or as the site's process likes."""


def asks_of(
    request: JobRequest,
    spec: ContainerSpec,
    command: Sequence[str],
    datasets: Mapping[str, Mount],
    mounts: Sequence[Mount],
) -> dict[str, Any]:
    """Return what a job asks for and gets, as JSON values.

    Args:
        request: what it asks for, checked.
        spec: what a runtime is asked for.
        command: the words of its command that last.
        datasets: the data that it sees, by its name.
        mounts: what of the host each job of the site sees beside that.
    """
    return {
        "study": request.study_named,
        "image": {"name": spec.image},
        "datasets": {name: dataset.source for name, dataset in datasets.items()},
        "mounts": {mount.target: [mount.source, "ro" if mount.read_only else "rw"] for mount in mounts},
        "secrets": {
            secret.name: {"source": secret.source, **({"to_env": secret.to_env} if secret.to_env else {})}
            for secret in spec.secrets
        },
        "resources": dict(request.resources.said()),
        "env": dict(request.env),
        "network": own_network(spec.own_network) if spec.own_network else spec.network,
        "command": list(command),
    }


def own_network(network: OwnNetwork) -> dict[str, Any]:
    """Return what a job reaches by a network of its own; its name and its addresses are of one run."""
    return {"per_job": True, "reaches_host": network.reaches_host}


def with_image(asks: Mapping[str, Any], image_id: str) -> dict[str, Any]:
    """Return the same with what the image is. Without an image there is the command's interpreter alone."""
    return {**asks, "image": {**asks["image"], "id": image_id}}


def lasting_words(command: Sequence[str], job_args: JobArgs, job_id: str, name: str) -> list[str]:
    """Return a job's command without what differs between two runs of the same job.

    In place of that stands what it is. ``name`` is that of the container, which may stand in the command, too.
    """
    flags = {str(job_args[arg][0]): arg for arg in _OF_ONE_RUN if arg in job_args}
    module = tuple(job_args.get(Arg.EXE_MODULE, ()))  # whose flag is the workspace's, too
    pairs = zip(("", *command), command, strict=False)
    words = [f"{{{flags[pair[0]]}}}" if pair[0] in flags and pair != module else pair[1] for pair in pairs]
    for text, stands_for in ((name, "{name}"), (job_id, "{job_id}")):
        if text:
            alone = re.compile(rf"(?<![\w.-]){re.escape(text)}(?![\w.-])")
            words = [alone.sub(stands_for, word) for word in words]
    return words
