"""The networks of jobs' own that an engine has made so late that nobody waited for them any more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from flcore.errors import FLCoreError

from ..container_spec import LABEL_NONCE, LABEL_SITE_ID
from ..runtime.base import JobNetworks, NetworkSummary, Runtime, job_networks_of

_YOUNG = 60.0
"""Seconds in which a network may be that of a launch of which the records that were read do not know yet."""


class LeftNetwork(NamedTuple):
    """One of which no record and no container is left."""

    summary: NetworkSummary
    networks: JobNetworks

    def is_old(self, older_than: float, now: float) -> bool:
        """Whether it was made so many seconds ago, and by no launch that is under way."""
        made_at = self.summary.created_at
        return made_at is not None and now - made_at >= max(older_than, _YOUNG)

    def remove(self) -> None:
        """Raises FLCoreError."""
        self.networks.remove(self.summary.labels[LABEL_NONCE], self.summary.name)


def left_networks(
    runtimes: Iterable[Runtime], sites: Collection[str], nonces: Collection[str], problems: list[str]
) -> Iterator[LeftNetwork]:
    """Yield those of these sites, by their ids, that are of none of the jobs with these nonces.

    Only a container could make use of one, so a label that is copied does no harm. What cannot be asked is a problem.
    """
    for runtime in runtimes:
        networks = job_networks_of(runtime)
        try:
            found = networks.all_of(LABEL_NONCE) if networks else ()
        except FLCoreError as error:
            problems.append(str(error))
            continue
        for summary in found:
            is_ours = summary.labels.get(LABEL_SITE_ID) in sites
            if networks and is_ours and summary.labels[LABEL_NONCE] not in nonces:
                yield LeftNetwork(summary, networks)
