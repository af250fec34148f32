"""A job of one line a process, and the configs of sites that run it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_job(folder: Path, server: str = "print('served')", client: str = "print('trained')", **meta: Any) -> str:
    """Write a job whose processes run these lines, and return its folder."""
    custom = folder / "app" / "custom"
    custom.mkdir(parents=True)
    (custom / "server.py").write_text(server + "\n", encoding="utf-8")
    (custom / "client.py").write_text(client + "\n", encoding="utf-8")
    (folder / "meta.json").write_text(json.dumps({"deploy_map": {"app": ["@ALL"]}, **meta}))
    return str(folder)


def write_site(name: str, *components: dict[str, Any], **args: Any) -> str:
    """Write the config of a site that launches local processes into the current folder, and return its path."""
    kind = "Server" if name == "server" else "Client"
    launcher = {"id": "launcher", "name": f"{kind}ProcessJobLauncher", "args": args}
    config = {"site": name, "workspace": f"work/{name}", "components": [launcher, *components]}
    Path(f"{name}.json").write_text(json.dumps(config))
    return f"{name}.json"
