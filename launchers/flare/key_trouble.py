"""What shows that a job needs a private key that it, or its peer, has not: as NVIDIA FLARE 2.8 and 2.9 write it.

A message that a job of theirs sends as "secure" is signed with the private key of its site, and encrypted for that of
the other. Whose key is a decoy is not told: the receiver logs that it cannot read the message, and drops it; the sender
waits in vain. Up to 2.8 it does not even get there: to a job that connects to its parent alone, the server passes on no
certificate, and says so in its parent's own log only.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from flcore.disk.safe_files import closing, open_file, open_folder
from flcore.plain_text import visible

from ..docker_state import ContainerState

ERRORS = "error_log.txt"
"""In a job's folder: what its process logs as an error, when it does so."""
_MOST = 1 << 18
"""Bytes that are looked at, the last."""
_LONGEST_NAME = 100
_WAY_OUT = (
    "jobs that send each other secure messages need the site's private key at each of their sites "
    "('private_key' of the launcher)"
)
_NOT_SIGNED = "a secure message of {}'s job is not signed by the private key of that site"
_NOT_READ = "a secure message of {}'s job cannot be read without this site's private key"
_NOT_PASSED_ON = "the server passes on no secure message of {}'s job, which connects to its parent alone"
_REFUSED = re.compile(r"\[ME=\S* O=(\S+) [^\n]*Error processing received message: (\w+)")
_IN_DECRYPTION = re.compile(r'cell_cipher\.py", line \d+, in decrypt')
_NO_ANSWER = (
    "client {}'s part has not taken a task; NVIDIA FLARE sends such by secure messages, so it may be for want of a key"
)
_UNANSWERED = re.compile(r"bad response for learn request from client (\S+): ")
_EXCHANGE = re.compile(
    r"unauthenticated msg \(channel='credential_manager' topic='key_exchange'\) received from (\S+?):? "
)
_UNSIGNED = "InvalidSignature"


class KeyTrouble(NamedTuple):
    """What a parent's log says of a job."""

    reason: str
    job_id_end: str
    """How the id of the job ends."""


def of_job(folder: Path, name: str) -> str:
    """Return what a file in a job's folder says of a missing key, as one line with the way out; else nothing."""
    text = _end_of(folder, name)
    for found in _REFUSED.finditer(text):
        origin, error = found.groups()
        if error == _UNSIGNED:
            return _reason(_NOT_SIGNED, origin)
        follows = text[found.end() : _begin_of_next(text, found.end())]
        if _IN_DECRYPTION.search(follows):
            return _reason(_NOT_READ, origin)
    return ""


def perhaps_of_job(folder: Path, name: str) -> str:
    """Return what may be the reason of a job that has no key and has failed, as far as its own side knows."""
    found = _UNANSWERED.search(_end_of(folder, name))
    return f"{_NO_ANSWER.format(_shown(found[1]))}: {_WAY_OUT}" if found else ""


def explained(seen: ContainerState, folder: Path) -> ContainerState:
    """Return the end of a job that has failed by itself with what it has logged of a missing key as its error."""
    if not seen.exit_code or seen.error:
        return seen
    return replace(seen, error=of_job(folder, ERRORS))


def of_parent(message: str) -> KeyTrouble | None:
    """Return what a message in a parent's own log says of a missing key; None if nothing.

    It begins so, and does not only quote a text of others, by which a job could have another one ended.
    """
    if found := _EXCHANGE.match(message):
        return KeyTrouble(_reason(_NOT_PASSED_ON, found[1]), _job_id_end(found[1]))
    if (found := _REFUSED.match(message)) and found[2] == _UNSIGNED:
        return KeyTrouble(_reason(_NOT_SIGNED, found[1]), _job_id_end(found[1]))
    return None


def _begin_of_next(text: str, place: int) -> int:
    """Return where the next refusal begins."""
    following = _REFUSED.search(text, place)
    return following.start() if following else len(text)


def _reason(what: str, origin: str) -> str:
    return f"{what.format(_shown(origin.rpartition('.')[0].rpartition('.')[2]))}: {_WAY_OUT}"


def _shown(site: str) -> str:
    return visible(site[:_LONGEST_NAME])


def _job_id_end(origin: str) -> str:
    """Return the last part of a cell's name, of which a log may show the end only."""
    return origin.rpartition(".")[2].lstrip(":")


def _end_of(folder: Path, name: str) -> str:
    try:
        with closing(open_folder(folder)) as opened, open_file(name, opened) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST))
            return file.read(_MOST).decode(errors="replace")
    except OSError:
        return ""
