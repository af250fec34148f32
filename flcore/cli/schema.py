"""``flcore schema``: what a site's config may say, for editors and for whoever checks files."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..plain_text import visible
from .command import EXIT_OK, Commands, add_command
from .streams import tell, write_bytes

_EXAMPLE = """examples:
  flcore schema > site.schema.json
  flcore schema --config site-1.json > site.schema.json

A config names it, and editors complete and check what is written there:
  {"$schema": "./site.schema.json", "site": "site-1", ...}

It knows the components that installed packages register, by their names and by their modules. Those of a config that
are nobody's package but yours are imported, and described too, by --config. Make it again when packages or your
components have changed. It is a JSON Schema of draft 2020-12.

exit status: 0; 2 for an error, such as a config that is no JSON"""


def add_schema(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(commands, "schema", run, "print a JSON Schema of sites' configs, for editors", _EXAMPLE)
    parser.add_argument(
        "--config",
        metavar="CONFIG",
        action="append",
        default=[],
        help="also describe the classes that this site's config names; repeatable",
    )


def run(args: argparse.Namespace) -> int:
    """Print the schema; return the exit status."""
    from ..site_schema import as_text, classes_of, site_schema

    named, wrong = classes_of(map(Path, args.config))
    for line in wrong:
        tell(f"flcore: not described: {visible(line)}")
    write_bytes(as_text(site_schema(named)).encode())  # JSON is UTF-8, whatever the terminal's encoding is
    return EXIT_OK
