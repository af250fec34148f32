"""Prints the table, with the error that each row gets: ``python -m tests.hostile``."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from .lab import FakeLab
from .table import TABLE


def main() -> None:
    logging.disable(logging.CRITICAL)
    print("| class | input | error |\n|---|---|---|")
    for row in TABLE:
        with tempfile.TemporaryDirectory() as folder, FakeLab(Path(folder)) as lab:
            try:
                error = lab.refusal(row).replace(f"{folder}/", "")
            except AssertionError as wrong:
                error = f"NOT REFUSED: {wrong}"
        print(_line(row.kind, f"{row.title}: `{row.shown_input[:80]}`", f"`{error}`"))
    print(f"\n{len(TABLE)} inputs")


def _line(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    main()
