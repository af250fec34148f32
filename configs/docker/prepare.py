"""Make what the demo needs of a Docker Engine: a network and an image. What is there already stays as it is.

On Linux the image is made on the spot from the Python that runs this file (see ``launchers.first_site.python_image``).
That takes seconds and needs no registry. Elsewhere it is built from the Dockerfile beside this file.
"""

import argparse
import contextlib
import platform
import sys
import time
from pathlib import Path

from flcore.errors import FLCoreError
from launchers.first_site.python_image import fingerprint, make_image, why_not_ours
from launchers.runtime.docker import DockerRuntime
from launchers.runtime.docker_images import DockerImages

DOCKERFILE = Path(__file__).resolve().with_name("Dockerfile")


class PrepareError(Exception):
    """What went wrong and the way out, in one line."""


def build_image(images: DockerImages, name: str) -> bool:
    """Make the image, if it is missing, as one would anywhere else; return whether it was."""
    own = f"{name.partition(':')[0]}:{fingerprint(DOCKERFILE.read_text())}"
    is_missing = images.find(own) is None
    if is_missing:
        try:
            images.build(DOCKERFILE.parent, own)
        except FLCoreError as error:
            way_out = f"docker build -t {own} --build-arg BASE=<an image with Python> {DOCKERFILE.parent}"
            raise PrepareError(f"{error}; if its base cannot be pulled, name another: {way_out}") from error
    images.tag(own, name)
    return is_missing


def prepare_image(images: DockerImages, name: str) -> str:
    """Make the image if it is missing, and say what was done."""
    began = time.monotonic()
    if reason := why_not_ours(images):
        made, source = build_image(images, name), f"its Dockerfile, as {reason}"
    else:
        made, source = make_image(images, name), f"this machine's Python {platform.python_version()}"
    done = f"made from {source} in {time.monotonic() - began:.1f} s" if made else "there"
    found = images.find(name)
    return f"{done}, {found.size / 1e6:.0f} MB" if found else done


def prepare_network(engine: DockerRuntime, network: str) -> str:
    """Make the network if it is missing, and say what was done. On the default one, names do not resolve."""
    if engine.networks.find(network):
        return "there"
    engine.networks.make(network, None)
    return "made"


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the network and the image of the demo, where missing.")
    parser.add_argument("--image", default="flcore-demo:latest")
    parser.add_argument("--network", default="flcore-demo")
    args = parser.parse_args()
    thing = f"network {args.network}"
    try:
        with contextlib.closing(DockerRuntime()) as engine:
            print(f"{thing}: {prepare_network(engine, args.network)}")
            thing = f"image {args.image}"
            print(f"{thing}: {prepare_image(engine.images, args.image)}")
    except (PrepareError, FLCoreError, OSError) as error:
        print(f"{thing}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
