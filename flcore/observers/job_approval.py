"""Consent: no job is launched that nobody has approved, to the last byte of its app, its image and what it asks for."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..approvals.app_files import AppFile, files_of
from ..approvals.approvals_file import Approval, ApprovalsFile
from ..approvals.fingerprint import SHORT, SURE, digest_of_app, fingerprint_of
from ..approvals.kept_requests import TEXT_LENGTH, KeptRequest, KeptRequests
from ..approvals.rules import approval_rules
from ..approvals.verdict import State, Verdict, is_app_approved, verdict_on
from ..config.argument_rules import count, seconds
from ..config.problems import Problems
from ..config.rules import checks_by_rules, optional
from ..disk.os_errors import in_words
from ..errors import FLCoreError, Hold, JobLaunchError, JobNotApprovedError, JobRejectedError
from ..event_type import EventType
from ..fl_component import FLComponent
from ..fl_constant import FLContextKey, JobMetaKey
from ..fl_context import FLContext
from ..job_launcher_spec import LaunchRequest
from ..launch import Launch
from ..workspace import STATE_DIR

_TRY_AGAIN = 10.0
"""Seconds after which it is looked again whether something is approved, where that could not be found out."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one launch asks for."""

    request: KeptRequest
    job_meta: Mapping[str, Any]
    app: Path | None
    """Where its files are; None where it has none."""
    workspace: Path

    @property
    def short(self) -> str:
        return self.request.fingerprint[:SHORT]

    def command(self, name: str, digits: int) -> str:
        """Return the command that does something with it, as it can be typed anywhere."""
        return f"flcore {name} {self.request.fingerprint[:digits]} --workspace {shlex.quote(str(self.workspace))}"


@checks_by_rules
class JobApproval(FLComponent):
    """Refuses each launch that nobody has approved, with a JobNotApprovedError that names its fingerprint.

    The fingerprint is a SHA-256 over the files of the app as they will run, the id of the image, and what the job asks
    for and gets (``LaunchRequest.asks``). ``flcore approvals`` lists what waits, ``flcore show``, ``approve`` and
    ``deny`` decide; what is decided stands in ``.flcore/approvals.jsonl`` of the site's workspace. Where nothing can be
    found out, nothing is launched.

    Args:
        approvers: how many different users must approve.
        rules: what is approved without a person: a list of ``{"study", "submitter", "same_app": true}``, of which one
            must hold, with all that it says. ``same_app``: the app and its image were approved, whatever they asked
            for. What somebody has denied stays denied.
        wait: seconds that a launch waits to be approved, where its caller can wait; None: it is refused at once. A
            client's job of NVIDIA FLARE's waits in the server's queue, if the server sends its app ahead (see
            ``launchers.nvflare_early_deployment``).
    """

    def __init__(self, approvers: int = 1, rules: Any = (), wait: float | None = None) -> None:
        super().__init__()
        problems = Problems()
        checked = problems.attempt
        self._wanted = checked(count, "approvers", approvers)
        self._rules = checked(approval_rules, "rules", rules)
        self._wait = checked(optional(seconds), "wait", wait)
        problems.raise_all(ValueError)
        self.puts_off = self._wait is not None

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Want to know what will run at BEFORE_JOB_LAUNCH; decide at JOB_LAUNCH_PLANNED."""
        if event_type == EventType.BEFORE_JOB_LAUNCH:
            launch = fl_ctx.get_prop(FLContextKey.LAUNCH)
            if isinstance(launch, Launch):
                launch.plan_wanted_by = self.name
        elif event_type == EventType.JOB_LAUNCH_PLANNED:
            try:
                self._decide(fl_ctx)
            except JobLaunchError:
                raise
            except Exception as error:  # whatever it is, what nobody has approved does not run
                raise self._not_found_out(error) from error

    def _decide(self, fl_ctx: FLContext) -> None:
        """Raise JobNotApprovedError, or another error, unless what is about to run is approved."""
        asked = self._asked(fl_ctx)
        file = ApprovalsFile(asked.workspace / STATE_DIR)
        stamp, approvals = file.stamp(), file.read()
        verdict = self._verdict(asked, approvals)
        by_rule = self._rule_for(asked, approvals) if verdict.state is State.WAITING else ""
        self._keep(asked, fl_ctx)
        if verdict.state is State.APPROVED or by_rule:
            by = [by_rule] if by_rule else [f"{one.user} (uid {one.uid})" for one in verdict.by]
            said = {"fingerprint": asked.request.fingerprint, "app": asked.request.app, "approved_by": by}
            fl_ctx.set_prop(FLContextKey.LAUNCH_APPROVAL, said, private=True, sticky=False)
            return
        error = JobNotApprovedError(_refusal(asked, verdict), asked.request.fingerprint)
        if self._wait and verdict.state is State.WAITING:
            watch = _Watch(file, stamp, lambda lines: self._has_changed(asked, verdict, lines))
            error.hold = Hold(_reason(asked, verdict), watch.has_changed, self._wait, "waits for approval")
        raise error

    def _not_found_out(self, error: Exception) -> JobLaunchError:
        """Return the error of a launch of which nobody can say whether it is approved; it may be found out later."""
        why = in_words(error) if isinstance(error, OSError | FLCoreError) else repr(error)
        refusal = JobLaunchError(f"whether it is approved cannot be found out: {why}")
        if self._wait:
            again = time.monotonic() + _TRY_AGAIN
            refusal.hold = Hold(str(refusal), lambda: time.monotonic() >= again, self._wait, "waits for approval")
        return refusal

    def _asked(self, fl_ctx: FLContext) -> _Asked:
        launch = LaunchRequest.of(fl_ctx)
        workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        if launch is None or not launch.asks or workspace is None:
            raise JobRejectedError("its launcher does not say what it asks for, so that nobody can approve it")
        job_id, job_meta = fl_ctx.get_job_id(), fl_ctx.get_prop(FLContextKey.JOB_META) or {}
        place = Path(fl_ctx.get_prop(FLContextKey.APP_ROOT) or workspace.get_app_dir(job_id))
        app = place if os.path.lexists(place) else None
        files: list[AppFile] = files_of(app) if app else []
        digest = digest_of_app(files)
        name, submitter = (
            str(job_meta.get(key, ""))[:TEXT_LENGTH] for key in (JobMetaKey.JOB_NAME, JobMetaKey.SUBMITTER_NAME)
        )
        request = KeptRequest(
            fingerprint_of(digest, launch.asks),
            digest,
            launch.asks,
            tuple(files),
            name,
            submitter,
            fl_ctx.get_identity_name(),
            job_id,
            time.time(),
            self._wanted,
        )
        return _Asked(request, job_meta, app, Path(workspace.get_root_dir()))

    def _verdict(self, asked: _Asked, approvals: list[Approval]) -> Verdict:
        request = asked.request
        return verdict_on(request.fingerprint, approvals, time.time(), self._wanted, request.study)

    def _rule_for(self, asked: _Asked, approvals: list[Approval]) -> str:
        """Return by which rule it is approved; empty if by none."""
        request = asked.request

        def is_known() -> bool:
            return is_app_approved(request.app, request.image, approvals, time.time(), self._wanted, request.study)

        found = (n for n, rule in enumerate(self._rules) if rule.holds(request.study, asked.job_meta, is_known))
        return next((f"rules[{number}] of {self.name}" for number in found), "")

    def _keep(self, asked: _Asked, fl_ctx: FLContext) -> None:
        try:
            KeptRequests(asked.workspace / STATE_DIR).keep(asked.request, asked.app)
        except OSError as error:  # it can be approved even so, by its whole fingerprint
            self.log_warning(fl_ctx, f"what it asks for cannot be kept to be looked at: {in_words(error)}")

    def _has_changed(self, asked: _Asked, seen: Verdict, approvals: list[Approval]) -> bool:
        """Whether there is another verdict on a launch that waits than was seen, or a rule that lets it go on."""
        return self._verdict(asked, approvals) != seen or bool(self._rule_for(asked, approvals))


class _Watch:
    """Looks, for the thread that waits, whether a launch may go on: a look is a stat, until somebody decides."""

    def __init__(self, file: ApprovalsFile, stamp: Any, has_changed: Callable[[list[Approval]], bool]) -> None:
        self._file = file
        self._stamp = stamp
        self._has_changed = has_changed

    def has_changed(self) -> bool:
        """Whether to try again: that also says what cannot be read, or who has approved meanwhile."""
        try:
            stamp = self._file.stamp()
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            return self._has_changed(self._file.read())
        except (OSError, FLCoreError):
            return True


def _reason(asked: _Asked, verdict: Verdict) -> str:
    """Return what a job waits for, in few words."""
    by = f"approved by {', '.join(one.user for one in verdict.by)}; " if verdict.by else ""
    more = verdict.wanted - len(verdict.by)
    whom = f"approval by {more} users" if more > 1 else "one more user's approval" if verdict.by else "approval"
    return f"{by}waits for {whom}: {asked.command('approve', SURE)}"


def _refusal(asked: _Asked, verdict: Verdict) -> str:
    """Return why a job is refused, and the way out."""
    way_out = f"look at it by `{asked.command('show', SHORT)}`, then `{asked.command('approve', SURE)}`"
    if verdict.state is State.DENIED:
        (denial,) = verdict.by
        note = f": {denial.note}" if denial.note else ""
        return f"what it would run ({asked.short}) was denied by {denial.user}{note}; {way_out}, if that was a mistake"
    if verdict.by:
        by, wanted = ", ".join(one.user for one in verdict.by), verdict.wanted
        return f"what it would run ({asked.short}) is approved by {by} only, and {wanted} users must: {way_out}"
    return f"nobody has approved what it would run ({asked.short}): {way_out}"
