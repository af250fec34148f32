"""An operator's session with a federation. Runs in NVIDIA FLARE's interpreter: a request a line, an answer a line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from nvflare.fuel.flare_api.flare_api import new_secure_session

MODEL = "server.npy"
"""The file that the jobs' persistor writes."""


def clients(session: Any) -> list[str]:
    return sorted(client.name for client in session.get_system_info().client_info)


def model(session: Any, job_id: str) -> Any:
    """Return the model in what the server has kept of a job; None if there is none."""
    return saved_model(session, session.download_job_result(job_id))


def saved_model(session: Any, folder: str) -> Any:
    """Return the model in a folder; None if there is none."""
    import numpy as np

    files = list(Path(folder).rglob(MODEL))
    return np.load(files[0]).tolist() if files else None


REQUESTS: dict[str, Callable[..., Any]] = {
    "clients": clients,
    "submit": lambda session, folder: session.submit_job(folder),
    "meta": lambda session, job_id: session.get_job_meta(job_id),
    "abort": lambda session, job_id: session.abort_job(job_id),
    "model": model,
    "saved_model": saved_model,
    "result": lambda session, job_id: session.download_job_result(job_id),
    "cat": lambda session, site, path: session.cat_target(site, file=path),
    "tail": lambda session, site, path: session.tail_target(site, options="-n 3", file=path),
    "stats": lambda session, job_id, kind: session.show_stats(job_id, kind),
    "log-level": lambda session, job_id, level, site: session.configure_job_log(job_id, level, site),
    "logs": lambda session, job_id, site: session.get_job_logs(job_id, site),
}


def answer(session: Any, request: list[str]) -> dict[str, Any]:
    name, *args = request
    try:
        return {"value": REQUESTS[name](session, *args)}
    except Exception as error:  # noqa: BLE001 - whatever it is, the other side is to know it
        return {"error": f"{type(error).__name__}: {error}"}


def main(user: str, kit: str, study: str = "") -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what NVIDIA FLARE prints is none
    session = new_secure_session(user, kit, timeout=10.0, **({"study": study} if study else {}))
    print(json.dumps({"value": "connected"}), file=answers)
    for line in sys.stdin:
        print(json.dumps(answer(session, json.loads(line)), default=str), file=answers)
    with suppress(Exception):
        session.close()
    answers.flush()
    os._exit(0)  # its threads may take long


if __name__ == "__main__":
    main(*sys.argv[1:])
