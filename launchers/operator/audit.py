"""What the commands of an audit share: which journals, which heads were kept elsewhere, and how a verdict is told."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from flcore.disk.journal_chain import KeptHead
from flcore.disk.journal_check import Verdict, check_journal, heads_in
from flcore.disk.os_errors import in_words
from flcore.disk.presence import is_file
from flcore.errors import ConfigError
from flcore.plain_text import visible

from .scope import read_paths, sites_of
from .site_files import SiteFiles

_MOST_SHOWN = 20
_HASH = re.compile(r"[0-9a-f]{64}")
Heads = Sequence[KeptHead] | str | None


def journals_of(args: argparse.Namespace) -> list[SiteFiles]:
    """Return the sites whose journals are meant, one at least. Raises ConfigError."""
    if args.folder and is_file(Path(args.folder)):
        if args.site or args.workspace:
            raise ConfigError(f"name a journal, --site or --workspace, one of them: {args.folder}")
        return [SiteFiles(Path(args.folder).absolute().parent, Path(args.folder).absolute())]
    read_paths(args)
    sites = sites_of(args)
    if not sites:
        where = Path(args.folder or args.workspace or "workspace").absolute()
        raise ConfigError(f"there is no site in {where}; name one by --site CONFIG, --workspace DIR, or its folder")
    return list({site.journal: site for site in sites}.values())  # several sites may write one


def kept_heads(text: str | None, journals: int) -> Heads:
    """Return the heads that ``--head`` means, for so many journals. Raises ConfigError."""
    if text is None:
        return None
    one = KeptHead.of(text)
    if (one or _HASH.fullmatch(text)) and journals > 1:
        raise ConfigError(f"--head: it is of one journal, and there are {journals}; name one by --site, or its folder")
    if one:
        return [one]
    if _HASH.fullmatch(text):
        return text
    heads = heads_in(sys.stdin) if text == "-" else _heads_of_file(Path(text))
    if not heads:
        raise ConfigError(f"--head: there is no head in {'standard input' if text == '-' else text}")
    return heads


def _heads_of_file(path: Path) -> list[KeptHead]:
    try:
        with path.open(errors="replace") as file:
            return heads_in(file)
    except FileNotFoundError as error:
        raise ConfigError(f"--head: {path} is no head, no hash, and no file that is there") from error
    except OSError as error:
        raise ConfigError(f"--head: {in_words(error)}") from error


def verdicts_of(args: argparse.Namespace) -> list[tuple[SiteFiles, Verdict]]:
    """Return what is wrong with each journal that is meant. Raises ConfigError or OSError."""
    sites = journals_of(args)
    heads = kept_heads(args.head, len(sites))
    return [(site, check_journal(site.journal, heads)) for site in sites]


def lines_of(site: SiteFiles, verdict: Verdict, *, has_heads: bool) -> Iterator[str]:
    """Yield what is to be told of a journal; the first line says whether it holds."""
    yield visible(f"{site.journal}: {_in_words(verdict)}")
    yield from (f"  {visible(str(problem))}" for problem in verdict.problems[:_MOST_SHOWN])
    more = len(verdict.problems[_MOST_SHOWN:]) + verdict.unlisted
    if more:
        yield f"  and {more} more"
    yield from (f"  {visible(note)}" for note in verdict.notes)
    if verdict.before and verdict.first:
        yield f"  {counted(verdict.before, 'line')} before the chain are an older version's, and prove nothing"
    if verdict.heads:
        agree = "was kept agrees" if verdict.heads == 1 else "were kept agree"
        yield f"  {counted(verdict.heads, 'head')} that {agree}"
    elif verdict.head and not has_heads:
        yield "  without --head nobody can tell whether lines are missing at its end"
    if verdict.head:
        yield f"  its head now: {verdict.head}"


def _in_words(verdict: Verdict) -> str:
    if not verdict.holds:
        return f"BROKEN: {counted(len(verdict.problems) + verdict.unlisted, 'problem')}"
    if not (verdict.first and verdict.head):
        return "holds, and has no line"
    return f"holds: {counted(verdict.head.line - verdict.first.line + 1, 'line')} of chain {verdict.head.chain}"


def counted(count: int, thing: str) -> str:
    """Return how many there are of something."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
