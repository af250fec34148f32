"""What this host's own tool says of its GPUs."""

from __future__ import annotations

import logging
import subprocess

from flcore.disk.os_errors import in_words

logger = logging.getLogger(__name__)

QUERY_TIMEOUT = 30
"""Seconds. A driver that no process uses is loaded first, which takes some."""


def query_gpus() -> list[str]:
    """Return the UUIDs of this host's GPUs, but not of the MIG devices into which one may be divided.

    None where there is no nvidia-smi, or it does not work.
    """
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=QUERY_TIMEOUT, check=True)  # noqa: S603 - fixed
    except FileNotFoundError:
        return []
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("nvidia-smi does not work: %s", in_words(error))
        return []
    return done.stdout.split()
