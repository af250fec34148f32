"""What was asked for at the sites of a command, what was decided about it, and which of it a beginning means."""

from __future__ import annotations

import argparse
import difflib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flcore.approvals.approvals_file import APPROVE, Approval, ApprovalsFile
from flcore.approvals.fingerprint import SHORT, WHOLE
from flcore.approvals.kept_requests import KeptRequest, KeptRequests
from flcore.approvals.verdict import State, Verdict, verdict_on
from flcore.cli.command import disk_in_words
from flcore.errors import FLCoreError
from flcore.workspace import STATE_DIR

from .scope import workspaces_of

_LIST = "list what was asked for by: flcore approvals --all"
MOST_LISTED = 10


class NoSuchRequestError(FLCoreError):
    """Nothing that was asked for has such a fingerprint, or several do."""


@dataclass(frozen=True, slots=True)
class SiteApprovals:
    """One site's: what was asked for, and what was decided, as they were at one moment."""

    workspace: Path
    file: ApprovalsFile
    kept: KeptRequests
    approvals: tuple[Approval, ...]

    def asked(self) -> list[Asked]:
        """Return all that was asked for, the oldest first, and behind it what was only decided about."""
        requests = self.kept.all()
        known = {request.fingerprint for request in requests}
        unknown = dict.fromkeys(one.fingerprint for one in self.approvals if one.fingerprint not in known)
        return [*(self.about(one.fingerprint, one) for one in requests), *map(self.about, unknown)]

    def about(self, fingerprint: str, request: KeptRequest | None = None) -> Asked:
        """Return what there is about one fingerprint."""
        wanted, study = (request.approvers, request.study) if request else (1, None)
        verdict = verdict_on(fingerprint, self.approvals, time.time(), wanted, study)
        return Asked(self, fingerprint, request, verdict)

    def last_approved(self, asked: Asked) -> KeptRequest | None:
        """Return what of the same job, by its name, was approved last; None if there is none, or it is not kept.

        By as many users as must, and denied by nobody since: what is the same in it is not shown again.
        """
        for approval in reversed(self.approvals):
            if approval.verdict == APPROVE and approval.fingerprint != asked.fingerprint:
                request = self.kept.find(approval.fingerprint)
                if request and request.name == asked.name and self._was_approved(request):
                    return request
        return None

    def _was_approved(self, request: KeptRequest) -> bool:
        """Whether it was approved, until whenever that was."""
        verdict = verdict_on(request.fingerprint, self.approvals, 0.0, request.approvers, request.study)
        return verdict.state is State.APPROVED


@dataclass(frozen=True, slots=True)
class Asked:
    """What has one fingerprint at one site."""

    site: SiteApprovals
    fingerprint: str
    request: KeptRequest | None
    """None where it was decided about, and is not kept (any more)."""
    verdict: Verdict

    @property
    def short(self) -> str:
        return self.fingerprint[:SHORT]

    @property
    def name(self) -> str:
        """Of the job: anything that its author liked."""
        said = (one.name for one in self.site.approvals if one.fingerprint == self.fingerprint)
        return self.request.name if self.request else next(said, "")

    @property
    def where(self) -> str:
        """The site."""
        return self.request.site if self.request else self.site.workspace.name

    @property
    def waits(self) -> bool:
        return self.verdict.state is State.WAITING

    def status(self) -> str:
        """Return what was decided, in words."""
        by, more = self.verdict.by, self.verdict.wanted - len(self.verdict.by)
        users = ", ".join(one.user for one in by)
        if not self.waits:
            return f"{self.verdict.state} by {users}"
        if by:
            return f"approved by {users}; waits for {more} more"
        return "waits" if more == 1 else f"waits for {more} users"


def approvals_of(args: argparse.Namespace) -> list[SiteApprovals]:
    """Return those of the sites that a command is about. Raises ConfigError."""
    with disk_in_words():
        return [_read(workspace) for workspace in workspaces_of(args)]


def the_one_asked(sites: Iterable[SiteApprovals], beginning: str) -> Asked:
    """Return what has the only fingerprint that begins so. Raises NoSuchRequestError, and ConfigError."""
    sites = list(sites)
    with disk_in_words():
        found = [(site, each) for site in sites for each in _known(site) if beginning and each.startswith(beginning)]
        if not found and WHOLE.fullmatch(beginning) and len(sites) == 1:
            found = [(sites[0], beginning)]  # it is decided before it is asked for
        if len(found) != 1:
            raise NoSuchRequestError(_none_or_several(sites, beginning, found))
        ((site, fingerprint),) = found
        return site.about(fingerprint, site.kept.find(fingerprint))


def fingerprints(sites: Iterable[SiteApprovals], beginning: str) -> list[str]:
    """Return the short fingerprints that begin so, for a shell's completion."""
    return [each[: max(SHORT, len(beginning))] for site in sites for each in _known(site) if each.startswith(beginning)]


def _read(workspace: Path) -> SiteApprovals:
    state = workspace / STATE_DIR
    file = ApprovalsFile(state)
    return SiteApprovals(workspace, file, KeptRequests(state), tuple(file.read()))


def _known(site: SiteApprovals) -> Iterator[str]:
    yield from dict.fromkeys([*site.kept.fingerprints(), *(one.fingerprint for one in site.approvals)])


def _none_or_several(sites: list[SiteApprovals], beginning: str, found: list[tuple[SiteApprovals, str]]) -> str:
    if len({fingerprint for _, fingerprint in found}) == 1:
        where = " and ".join(str(site.workspace) for site, _ in found)
        return f"{beginning} was asked for at several sites: {where}; name one by --site or --workspace"
    if found:
        listed = ", ".join(fingerprint[: max(SHORT, len(beginning) + 1)] for _, fingerprint in found[:MOST_LISTED])
        return f"{len(found)} fingerprints begin with {beginning!r}: {listed}; give more of it"
    known = [each[: len(beginning) or 1] for site in sites for each in _known(site)]
    close = difflib.get_close_matches(beginning, known, n=1)
    whole = next((each[:SHORT] for site in sites for each in _known(site) if close and each.startswith(close[0])), "")
    places = " and ".join(str(site.workspace) for site in sites) or "no site"
    meant = f"; did you mean {whole}?" if whole else ";"
    return f"nothing that was asked for has a fingerprint that begins with {beginning!r} in {places}{meant} {_LIST}"
