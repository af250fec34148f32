"""The GPUs of a site: which they are, and where it stands who has which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flcore.errors import JobLaunchError

from ..policy.gpu_ids import ALL_GPUS
from ..records.gpu_leases import GpuLeases
from ..runtime.base import Runtime


@dataclass(frozen=True, slots=True)
class SiteGpus:
    """Those that a site's config names."""

    ids: Sequence[str]
    """Or ``ALL_GPUS``."""
    lease_dir: str | None
    """Where the config says that they are leased; None: in the site's state folder."""
    runtime: Callable[[], Runtime]
    """Returns whom to ask which there are."""

    def leases(self, state_dir: Path | None) -> GpuLeases | None:
        """Return where they are leased: None for a site without a workspace, unless its config says where."""
        folder = Path(self.lease_dir) if self.lease_dir else state_dir and state_dir / "gpus"
        return GpuLeases(folder, self.found) if folder else None

    def found(self) -> Sequence[str]:
        """Return their ids; the runtime is asked if they are all that there are. Raises JobLaunchError."""
        if self.ids != ALL_GPUS:
            return self.ids
        runtime = self.runtime()
        found = runtime.find_gpus()
        if not found:
            raise JobLaunchError(f"neither nvidia-smi nor {runtime.name} names any GPU; list them in 'gpu_ids'")
        return found
