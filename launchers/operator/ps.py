"""``flcore ps``: the jobs of a site, or of a machine."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from functools import partial

from flcore.cli.command import EXIT_OK
from flcore.cli.streams import tell
from flcore.plain_text import visible

from .hints import looked_for, no_job_here
from .job_json import as_dict
from .job_table import table_lines
from .job_view import JobView
from .scope import index_of
from .selection import jobs_to_show, wanted_for, wanted_to_show
from .terminal import Terminal, warn


def run(args: argparse.Namespace) -> int:
    """List the jobs, or show them until Ctrl-C; return the exit status."""
    terminal = Terminal()
    wanted = wanted_for(args.job) if args.watch else wanted_to_show(args)
    with index_of(args, wanted=wanted) as index:
        if args.watch:
            from .watch import watch

            return watch(index, args, terminal)
        views = looked_for(index, partial(jobs_to_show, args=args))
        for claim in index.claims:
            warn(claim)
        show(views, terminal, as_json=args.json)
        if not views and not args.json:
            tell(f"flcore: {visible(no_job_here(index, args.study))}")
    return EXIT_OK


def show(views: Sequence[JobView], terminal: Terminal, *, as_json: bool) -> None:
    """Print a table, or a JSON object per line."""
    now = time.time()
    if as_json:
        for view in views:
            terminal.print(json.dumps(as_dict(view, now)))
    else:
        terminal.print(*table_lines(views, terminal, now))
