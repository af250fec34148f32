"""Print the differences in what jobs may say, with how often each happens, with the NVIDIA FLARE that is installed.

Run by the interpreter of one of its environments: ``build/compat/nvflare-2.9/bin/python -m tests.compat.metadata``,
perhaps with how many, and another seed: what it finds then, and no row explains, is a fault or a row that is missing.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from .comparison import COUNT, SEED, compare


def main() -> int:
    count, seed = (*map(int, sys.argv[1:]), *(COUNT, SEED)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as folder:
        comparison = compare(Path(folder), count, seed)
    print(f"NVIDIA FLARE {comparison.version}: {comparison.count} metadata, {comparison.taken_by_both} taken by both")
    for row in comparison.rows():
        print(f"{comparison.hits[row]:5} {row.what}: {row.title} ({', '.join(row.versions)}): {row.reason}")
    for fact, metadata in comparison.unexplained:
        print(f"NOT EXPLAINED: {fact.what}: {fact.how}\n    {metadata.text[:1500]}")
    return len(comparison.unexplained) > 0


if __name__ == "__main__":
    sys.exit(main())
