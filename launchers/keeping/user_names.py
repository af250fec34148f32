"""Has a job's user stand in its container's ``/etc/passwd``, where its image does not know him: libraries look there.

::

    <workspace>/.flcore/images/<image id>               what an image's /etc/passwd says: ids never change their meaning
    <workspace>/.flcore/jobs/<job id>.<nonce>.passwd    what a job is shown in its place, as long as there is its record

Only a container shows what an image has. So the first one of an image is looked into before its start, and made anew if
it lacks the job's user; the next ones are made as they must be. What an engine adds by itself (Podman) does not count:
it adds to a last line that has no end, too.
"""

from __future__ import annotations

import logging
import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from flcore.disk.os_errors import in_words
from flcore.disk.safe_files import closing, open_file, open_folder, write_new
from flcore.errors import RuntimeRefusedError, RuntimeUnavailableError

from ..container_spec import ContainerSpec, Mount
from ..policy.job_home import knows, passwd_with
from ..records.job_record import JobRecord
from ..runtime.base import MAX_PASSWD, Runtime

logger = logging.getLogger(__name__)

_PLACE = PurePosixPath("/etc/passwd")
MOST_IMAGES = 256
"""Of which it is remembered; then the one that was seen first is forgotten."""
_IMAGE_ID = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)
_FOR_ALL = 0o444
"""A job's user may be anybody on this host. What an image has is no secret, and only the site gets to the folder."""


class UserNames:
    """What the images of one launcher know of users. Making one touches no disk; safe to use from several threads.

    Args:
        folder: where it is remembered.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, bytes | None] = {}
        """By image id; None where nothing is to be completed."""

    def named(self, spec: ContainerSpec, record: JobRecord | None) -> ContainerSpec:
        """Return a spec that shows its user in ``/etc/passwd``, if its image is known not to. Raises OSError."""
        passwd = self._known[spec.image] if spec.image in self._known else self._read(spec.image)
        if record is None or passwd is None or _is_set(spec) or knows(passwd, spec.user):
            return spec
        with closing(open_folder(record.shown_passwd.parent)) as folder:
            told = passwd_with(passwd, spec.user, spec.environment)
            write_new(record.shown_passwd.name, folder, [told], _FOR_ALL)
            os.chmod(record.shown_passwd.name, _FOR_ALL, dir_fd=folder)  # whatever the umask
        return replace(spec, mounts=(*spec.mounts, Mount(str(record.shown_passwd), str(_PLACE))))

    def lacks(self, spec: ContainerSpec, container_id: str, runtime: Runtime) -> bool:
        """Look into the first container of an image that was made; whether it is to be made anew, for its user's sake.

        It is not worth a launch: what an engine does not show is taken as it is.
        """
        if spec.image in self._known or _is_set(spec):
            return False
        try:
            passwd = runtime.passwd_of(container_id)
        except RuntimeUnavailableError as error:
            logger.info("image %s: whom it knows cannot be told now: %s", spec.image, error)
            return False
        except RuntimeRefusedError as error:
            logger.warning(
                "image %s: whom it knows is not told, its jobs' users may have no name: %s", spec.image, error
            )
            passwd = None
        self._known[spec.image] = passwd
        if passwd is None:
            return False
        self._write(spec.image, passwd)
        return not knows(passwd, spec.user)

    def _read(self, image: str) -> bytes | None:
        match = _IMAGE_ID.fullmatch(image)
        if not match:
            return None
        with suppress(OSError), open_file(self._folder / match[1]) as file:
            self._known[image] = file.read(MAX_PASSWD)
        return self._known.get(image)

    def _write(self, image: str, passwd: bytes) -> None:
        match = _IMAGE_ID.fullmatch(image)
        if not match:
            return
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with closing(open_folder(self._folder)) as folder:
                write_new(match[1], folder, [passwd], 0o600)
            for old in sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)[:-MOST_IMAGES]:
                old.unlink(missing_ok=True)
        except OSError as error:
            logger.info("image %s: whom it knows will be looked for anew: %s", image, in_words(error))


def _is_set(spec: ContainerSpec) -> bool:
    """Whether a site says itself what a job sees as its ``/etc/passwd``, or there is no user to be named."""
    places = (*(mount.target for mount in spec.mounts), *spec.isolation.tmpfs)
    return not spec.user or any(_PLACE.is_relative_to(place) for place in places)
