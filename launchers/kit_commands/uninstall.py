"""``flcore nvflare uninstall``: has a kit be as it was before."""

from __future__ import annotations

import argparse
from pathlib import Path

from flcore.cli.command import EXIT_OK
from flcore.errors import ConfigError
from flcore.plain_text import visible

from ..flare.installation import Installation
from ..flare.kit_layout import KitLayout
from .parents import is_running


def run(args: argparse.Namespace) -> int:
    """Restore kits, once it is known that all of them can be; return the exit status."""
    layouts = [KitLayout.of(Path(kit)) for kit in args.kit]
    problems = [line for layout in layouts for line in _problems(layout, args.force)]
    if problems:
        raise ConfigError("\n".join(problems))
    for layout in layouts:
        if args.dry_run:
            print(visible(f"{layout.root}: nothing was changed; all can be restored"))
            continue
        for line in Installation(layout).undo():
            print(visible(line))
        if is_running(layout.root):
            print(visible(f"{layout.root}: it runs: the next start reads them"))
    return EXIT_OK


def _problems(layout: KitLayout, is_forced: bool) -> list[str]:
    installation = Installation(layout)
    if not installation.is_there:
        return [f"{layout.root}: nothing was installed here by flcore, so there is nothing to restore"]
    if is_forced:
        return []
    way_out = f"nothing was restored; to restore it, and keep it beside: flcore nvflare uninstall --force {layout.root}"
    return [f"{path}: was edited since it was installed; {way_out}" for path in installation.edited()]
