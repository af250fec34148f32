"""How an engine is asked by TLS: as a site's config says, else as the environment says to Docker's own command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from docker.tls import TLSConfig

from flcore.disk.presence import is_file, is_there

from ..settings import EngineTls

_BY_NETWORK = ("tcp://", "https://")


def tls_of(address: str, files: EngineTls | None, environment: Mapping[str, str] = os.environ) -> TLSConfig | bool:
    """Return how an engine is asked; False is without TLS.

    Raises FileNotFoundError, naming the file, where one is missing.
    """
    found = tls_files(address, files, environment)
    return _config(found, verify=bool(files or environment.get("DOCKER_TLS_VERIFY"))) if found else False


def tls_files(address: str, files: EngineTls | None, environment: Mapping[str, str] = os.environ) -> EngineTls | None:
    """Return the files by which an engine is asked by TLS; None is without. They may be missing."""
    if not address.startswith(_BY_NETWORK):
        return None
    if files:
        return files
    verify = bool(environment.get("DOCKER_TLS_VERIFY"))
    if not (verify or environment.get("DOCKER_TLS") or environment.get("DOCKER_CERT_PATH")):
        return None
    folder = Path(environment.get("DOCKER_CERT_PATH") or environment.get("DOCKER_CONFIG") or Path.home() / ".docker")
    cert, key = folder / "cert.pem", folder / "key.pem"
    pair = (str(cert), str(key)) if is_there(cert) or is_there(key) else ("", "")  # an engine may ask for none
    return EngineTls(str(folder / "ca.pem") if verify else "", *pair)


def _config(files: EngineTls, *, verify: bool) -> TLSConfig:
    for file in filter(None, files):
        if not is_file(Path(file)):
            raise FileNotFoundError(f"{file} is not there, which docker_tls or DOCKER_CERT_PATH names")
    return TLSConfig(
        client_cert=(files.cert, files.key) if files.cert else None, ca_cert=files.ca or None, verify=verify
    )
