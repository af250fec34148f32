"""An image whose every word is hostile: what a container is made with must not come from it."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from launchers.container_spec import LABEL_JOB_ID, LABEL_NONCE, LABEL_SITE

VOLUME = "/volume-of-the-image"
DOCKERFILE = f"""
FROM {{base}}
USER root
RUN ["python3", "-c", "{{make_files}}"]
ENTRYPOINT ["/bin/sh", "-c", "echo the entry point ran"]
CMD ["echo", "the command ran"]
WORKDIR /etc
STOPSIGNAL SIGUSR2
HEALTHCHECK --interval=1ms CMD true
EXPOSE 22
VOLUME {VOLUME}
ENV NVFLARE_JOB_AUTH_TOKEN=of-the-image PYTHONPATH=/of-the-image
LABEL exitCode=7 {LABEL_SITE}=of-the-image {LABEL_JOB_ID}=of-the-image {LABEL_NONCE}=of-the-image
"""
MAKE_FILES = "; ".join(
    (
        "import os, shutil, pathlib",
        "shutil.copy('/usr/bin/cat', '/usr/bin/cat-as-root')",
        "os.chmod('/usr/bin/cat-as-root', 0o4755)",
        "pathlib.Path('/secret-of-root').write_text('the secret')",
        "os.chmod('/secret-of-root', 0o600)",
    )
)


@contextmanager
def hostile_image(client: Any, base: str) -> Iterator[str]:
    """Make the image from another, yield its name, and remove it.

    In it, ``cat-as-root`` is a program that root made to be run as root, and ``/secret-of-root`` a file of root's.
    """
    name = f"flcore-hostile:{uuid.uuid4().hex[:8]}"
    dockerfile = DOCKERFILE.format(base=base, make_files=MAKE_FILES)
    client.images.build(fileobj=io.BytesIO(dockerfile.encode()), tag=name, rm=True, forcerm=True)
    try:
        yield name
    finally:
        client.api.remove_image(name, force=True)
