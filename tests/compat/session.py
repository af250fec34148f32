"""The operator's side of a federation: one session of NVIDIA FLARE's own API, in its own interpreter."""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("admin.py")
_TIMEOUT = 60.0


class SessionError(Exception):
    """NVIDIA FLARE refuses, or does not answer."""


class Session:
    """A session that is open until :meth:`close`. Only one thread may use it.

    Args:
        command: the interpreter, and what runs it.
        log: what NVIDIA FLARE prints goes there.
        study: in which jobs are submitted, and seen; empty for none.
    """

    def __init__(
        self, command: Sequence[str], user: str, kit: Path, log: Path, environment: dict[str, str], study: str = ""
    ) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, str(SCRIPT), user, str(kit), *([study] if study else [])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=kit,
                env=environment,
                bufsize=0,
            )
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def ask(self, request: str, *args: str) -> Any:
        """Return the answer to one of the script's requests. Raises SessionError."""
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps([request, *args]).encode() + b"\n")
        except BrokenPipeError as error:
            raise SessionError(f"{request}: the session has ended") from error
        return self._answer()

    def close(self) -> None:
        """End it. Idempotent."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self) -> Any:
        answer = json.loads(self._line())
        if "error" in answer:
            raise SessionError(answer["error"])
        return answer["value"]

    def _line(self) -> bytes:
        assert self._process.stdout
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self._process.stdout], [], [], _TIMEOUT)[0]:
                raise SessionError(f"no answer within {_TIMEOUT:g} s")
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                raise SessionError("the session has ended; its log says why")
            line += data
        return line
