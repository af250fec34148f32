"""Which folders of a workspace are jobs' folders: those that the site has made as such, and noted where no job sees it.

::

    <workspace>/.flcore/folders/<job id>   the folder of this name was made for the job
    <workspace>/.flcore/output/<job id>    what the job writes, while it runs as a local process

Whatever else lies in a workspace, such as data or the workspace of another site, becomes no job's by its name. All
functions raise OSError.
"""

from __future__ import annotations

import os
from pathlib import Path

STATE_DIR = ".flcore"
"""The folder, in a site's workspace, of what the site must not forget of its jobs. No job's id can be its name."""


def is_foreign(folder: Path) -> bool:
    """Whether something is there that no site has made for a job."""
    return os.path.lexists(folder) and not os.path.lexists(note_of(folder))


def note_new(folder: Path) -> None:
    """Note that a folder is made for a job, unless it is there. To be called right before it is made."""
    if not os.path.lexists(folder):
        note = note_of(folder)
        for parent in (note.parent.parent.parent, note.parent.parent, note.parent):
            parent.mkdir(0o700, parents=True, exist_ok=True)
        note.touch(0o600)


def forget_missing(folder: Path) -> None:
    """Forget a folder that is not there any more: whatever gets its name next is somebody else's."""
    if not os.path.lexists(folder):
        note_of(folder).unlink(missing_ok=True)


def note_of(folder: Path) -> Path:
    """Return the file that says that a folder is a job's."""
    return folder.parent / STATE_DIR / "folders" / folder.name


def running_output(folder: Path) -> Path:
    """Return the file that a job writes to which is a local process, while it runs."""
    return folder.parent / STATE_DIR / "output" / folder.name
