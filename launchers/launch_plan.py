"""What one launch will do: decided before anything is touched, so that it can be shown as well as done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from flcore.job_launcher_spec import LaunchRequest

from .container_spec import (
    LABEL_IMAGE,
    LABEL_NONCE,
    LABEL_PARENT,
    LABEL_SITE_ID,
    LABEL_STATE_DIR,
    ContainerSpec,
)
from .keeping.job_secrets import JobSecrets
from .policy.job_policy import JobRequest
from .policy.launch_origins import AT_LAUNCH, SiteKeys, masked, origins
from .runtime.base import Runtime

_KNOWN_AT_LAUNCH = (LABEL_NONCE, LABEL_SITE_ID, LABEL_PARENT, LABEL_STATE_DIR)


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """What one launch will do."""

    request: JobRequest
    spec: ContainerSpec
    folder: Path | None
    """The job's own folder on this host."""

    @property
    def gpus(self) -> int:
        """How many GPUs the job gets."""
        return self.request.resources.num_of_gpus or 0

    def describe(self, runtime: Runtime, secrets: JobSecrets, keys: SiteKeys, image: str = "") -> LaunchRequest:
        """Return what the runtime is asked for, and who has decided it; what only the launch knows stands as such.

        ``image``: what the container is made from; empty: the image's name.
        """
        labels = dict.fromkeys(_KNOWN_AT_LAUNCH, AT_LAUNCH) | {LABEL_IMAGE: self.spec.image}
        spec = replace(
            self.spec,
            image=image or self.spec.image,
            labels=self.spec.labels | labels,
            gpu_ids=(AT_LAUNCH,) * self.gpus,
        )
        body = runtime.describe(masked(secrets.describe(spec, AT_LAUNCH)))
        return LaunchRequest(runtime.address(self.spec.name), body, origins(body, self.request, keys))
