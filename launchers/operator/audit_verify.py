"""``flcore audit verify``: whether the journals of sites are as they were written."""

from __future__ import annotations

import argparse

from flcore.cli.command import EXIT_FAILED, EXIT_OK

from .audit import lines_of, verdicts_of
from .terminal import Terminal


def run(args: argparse.Namespace) -> int:
    """Print what was found of each journal; return the exit status."""
    terminal = Terminal()
    verdicts = verdicts_of(args)
    for site, verdict in verdicts:
        first, *others = lines_of(site, verdict, has_heads=args.head is not None)
        terminal.print(terminal.styled(first, "good" if verdict.holds else "bad"), *others)
    return EXIT_OK if all(verdict.holds for _, verdict in verdicts) else EXIT_FAILED
