"""``flcore init``. This only says how it is called: what it does is imported when it runs."""

from __future__ import annotations

import argparse

from flcore.cli.command import Commands, add_command, disk_in_words

_EXAMPLE = """Writes a site's config, with the schema by which editors complete and check it, a job, data for it, and a
component with its test. Nothing is ever overwritten: if a file is in the way, that is told, and nothing is written.

The site's jobs run in containers of the engine that answers (that of DOCKER_HOST, or of Docker's current context), from
an image that has Python: the one that is named, or one that is there, or one that is made of this machine's Python.
Where no engine answers they run as processes.

examples:
  flcore init
  flcore init first-site --image python:3.12-slim

exit status: 0, also if all was so already; 2 for an error, such as a file that is in the way"""


def add_commands(commands: Commands) -> None:
    """Add the command."""
    summary = "make a first site: its config, a job that runs, a component and its test"
    parser = add_command(commands, "init", _run, summary, _EXAMPLE)
    parser.add_argument("folder", metavar="DIR", nargs="?", default=".", help="where; made if need be (this folder)")
    parser.add_argument("--image", metavar="IMAGE", help="the jobs' image, which has Python; pulled if it is not there")


def _run(args: argparse.Namespace) -> int:
    from .init import run

    with disk_in_words():
        return run(args)
