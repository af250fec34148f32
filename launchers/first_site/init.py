"""``flcore init``: from nothing to a site's config, a job that runs and a component that hears it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from flcore.cli.command import EXIT_OK
from flcore.plain_text import visible

from .files import JOB, SITE, TEST, WHAT, contents, missing, write
from .surroundings import Step, look_around
from .typed import next_commands


def run(args: argparse.Namespace) -> int:
    """Write what is not there yet, once it is known that nothing is in its way; return the exit status."""
    folder = Path(args.folder)
    with look_around(folder.resolve(), args.image) as found:
        for line in found.told:
            _say(line)
        wanted = contents(found.launcher)
        names = missing(folder, wanted)
        _take(found.steps)
        write(folder, {name: wanted[name] for name in names})
    _say()
    _say(f"{folder.resolve()}: {'written' if names else 'all is so already'}")
    width = max(map(len, WHAT))
    for name, what in WHAT.items():
        _say(f"  {name:{width}}  {what}{'' if name in names or not names else ' (was there)'}")
    _say()
    _say("next:")
    for command in next_commands(folder, SITE, JOB, TEST):
        _say(f"  {command}")
    return EXIT_OK


def _take(steps: Sequence[Step]) -> None:
    for step in steps:
        _say(f"making {step.what} ...")
        step.make()


def _say(line: str = "") -> None:
    print(visible(line), flush=True)
