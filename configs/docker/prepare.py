"""Make what the demo needs of a Docker Engine: a network and an image. What is there already stays as it is.

On Linux the image is made on the spot from the Python that runs this file: its standard library, the shared
libraries that it needs and a handful of commands. That takes seconds and needs no registry. Elsewhere it is
built from the Dockerfile beside this file.
"""

import argparse
import compileall
import contextlib
import hashlib
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from requests.exceptions import RequestException

DOCKERFILE = Path(__file__).resolve().with_name("Dockerfile")
STDLIB = Path(os.__file__).resolve().parent
# Not sys.executable, which is the virtual environment's link to it.
PYTHON = Path(sys.base_exec_prefix, "bin", "python{}.{}".format(*sys.version_info)).resolve()
COMMANDS = ("sh", "cat", "echo", "env", "false", "kill", "ls", "sleep", "true")
CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
CHANGES = ["ENV PATH=/usr/local/bin:/usr/bin:/bin", f"ENV SSL_CERT_FILE=/{CA_BUNDLE}", 'CMD ["python3"]']
# The engine itself writes hosts, hostname and resolv.conf.
ETC = {
    "passwd": "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
NOT_NEEDED = shutil.ignore_patterns(
    *("test", "tests", "_test*", "idlelib", "tkinter", "_tkinter*", "turtledemo", "ensurepip"),
    *("site-packages", "dist-packages", "config-*", "*.a", "*.opt-?.pyc"),
)
# What the C library opens by name, so that no binary lists it: for name services, and at the end of a thread.
OPENED_BY_NAME = ("libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2", "libgcc_s.so.1")


class PrepareError(Exception):
    """What went wrong and the way out, in one line."""


@dataclass(frozen=True)
class Contents:
    """What an image has beside this machine's Python."""

    commands: tuple[str, ...] = COMMANDS
    packages: Path | None = None
    """A site-packages folder that rides along."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Where a path in the image leads."""
    without: tuple[str, ...] = ()
    """What of the packages stays here, as patterns of names."""


PLAIN = Contents()


def put(source: Path, target: Path) -> None:
    """Copy a file, through links, to a path whose directories may not be there yet."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def found(commands: Iterable[str]) -> dict[str, Path]:
    """Where this machine has the commands."""
    return {name: Path(path) for name in commands if (path := shutil.which(name))}


def linked_libraries(binaries: Iterable[Path]) -> dict[str, Path]:
    """What the loader would load for these, as `name: path`; the loader itself is named by its whole path."""
    ldd = ["ldd", *map(str, binaries)]
    listing = subprocess.run(ldd, capture_output=True, text=True, check=False).stdout  # noqa: S603
    lines = re.findall(r"^\s+(?:(\S+) => )?(/.+) \(0x", listing, re.MULTILINE)
    return {name or path: Path(path) for name, path in lines}


def put_skeleton(root: Path) -> None:
    """Add the directories, links and files that every program expects."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("etc", "tmp", "var/tmp"):
        (root / name).mkdir(parents=True)
    for name, text in ETC.items():
        (root / "etc" / name).write_text(text)


def put_ca_bundle(root: Path) -> None:
    """Add the certificates that this machine trusts, if it has any."""
    candidates = (ssl.get_default_verify_paths().cafile, f"/{CA_BUNDLE}", "/etc/pki/tls/certs/ca-bundle.crt")
    for path in map(Path, filter(None, candidates)):
        if path.is_file():
            put(path, root / CA_BUNDLE)
            return


def put_python(root: Path) -> None:
    """Add the interpreter below /usr/local, wherever it is here: it finds its library relative to itself."""
    put(PYTHON, root / "usr/local/bin" / PYTHON.name)
    (root / "usr/local/bin/python3").symlink_to(PYTHON.name)
    library = root / "usr/local" / sys.platlibdir / STDLIB.name
    shutil.copytree(STDLIB, library, ignore=NOT_NEEDED, ignore_dangling_symlinks=True)
    # Jobs run on a read-only root: what is not compiled now, each of them would compile again.
    compileall.compile_dir(library, quiet=2, stripdir=str(root), prependdir="/")


def put_packages(root: Path, contents: Contents) -> None:
    """Add the packages where the interpreter looks for them."""
    if contents.packages:
        target = root / "usr/local" / sys.platlibdir / STDLIB.name / "site-packages"
        shutil.copytree(contents.packages, target, ignore=shutil.ignore_patterns(*contents.without))


def put_commands(root: Path, contents: Contents) -> None:
    """Add the few commands that a job's author may expect, and the links."""
    for name, path in found(contents.commands).items():
        put(path, root / "usr/bin" / name)
    for name, target in contents.links.items():
        link = root / name.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def put_libraries(root: Path, contents: Contents) -> None:
    """Add all shared libraries beside the C library: there the loader finds them without a cache."""
    modules = [path for path in STDLIB.glob("lib-dynload/*.so") if not NOT_NEEDED("", [path.name])]
    modules += contents.packages.rglob("*.so*") if contents.packages else []
    libraries = linked_libraries([PYTHON, *modules, *found(contents.commands).values()])
    if "libc.so.6" not in libraries:
        raise PrepareError(f"ldd names no C library for {PYTHON}")
    home = libraries["libc.so.6"].parent
    libraries |= {name: home / name for name in OPENED_BY_NAME if (home / name).exists()}
    if contents.packages:  # what they bring themselves they find themselves
        libraries = {name: path for name, path in libraries.items() if contents.packages not in path.parents}
    for name, path in libraries.items():
        put(path, root / str(home / name).lstrip("/"))


def as_roots(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Give a file to root and open it to all: whoever made it here, any user may run it there."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = int(member.mtime)  # kept, since a compiled module remembers that of its source
    member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    if member.name in ("tmp", "var/tmp"):
        member.mode = 0o1777
    return member


def write_tar(path: Path, root: Path, contents: Contents) -> None:
    """Write the image's whole file system."""
    for step in (put_skeleton, put_ca_bundle, put_python):
        step(root)
    for put_more in (put_packages, put_commands, put_libraries):
        put_more(root, contents)
    with tarfile.open(path, "w") as tar:
        for top in sorted(root.iterdir()):
            tar.add(top, top.name, filter=as_roots)


def import_image(client: docker.DockerClient, repository: str, tag: str, contents: Contents = PLAIN) -> None:
    """Make the image from this machine's own Python."""
    with tempfile.TemporaryDirectory(prefix="flcore-image-") as scratch:
        root, tar = Path(scratch, "root"), Path(scratch, "image.tar")
        root.mkdir()
        write_tar(tar, root, contents)
        answer = client.api.import_image_from_file(str(tar), repository, tag, changes=CHANGES)
    made = re.search(r"sha256:[0-9a-f]{64}", answer)
    if '"error"' in answer or not made:
        raise PrepareError(f"the engine refused it: {answer}")
    client.api.tag(made[0], repository, tag)  # Podman 4 has overheard it, and said 'latest'


def build_image(client: docker.DockerClient, repository: str, tag: str) -> None:
    """Make the image as one would anywhere else."""
    folder = DOCKERFILE.parent
    try:
        client.images.build(path=str(folder), tag=f"{repository}:{tag}", rm=True)
    except DockerException as error:
        way_out = f"docker build -t {repository}:{tag} --build-arg BASE=<an image with Python> {folder}"
        raise PrepareError(f"{error}; if its base cannot be pulled, name another: {way_out}") from error


def why_not_ours(client: docker.DockerClient) -> str | None:
    """Why this machine's Python cannot run in the engine's containers; None if it can."""
    engine = client.version()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    if (sys.platform, engine["Os"]) != ("linux", "linux"):
        return "this is not Linux"
    if engine["Arch"] != machine:
        return f"the engine's machine is {engine['Arch']}"
    if platform.libc_ver()[0] != "glibc" or not shutil.which("ldd"):
        return "this machine has no GNU C library, or no ldd"
    return None


def fingerprint(*parts: object) -> str:
    """The tag of an image made from these: it is made again only if one of them changes."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]


def exists(client: docker.DockerClient, image: str) -> bool:
    try:
        client.images.get(image)
    except ImageNotFound:
        return False
    return True


def drop_older(client: docker.DockerClient, repository: str, tag: str) -> None:
    """Remove what older recipes made, but for an image that a container still uses."""
    for name in {name for image in client.images.list(repository) for name in image.tags}:
        if re.fullmatch(re.escape(repository) + ":[0-9a-f]{12}", name) and name != f"{repository}:{tag}":
            with contextlib.suppress(APIError):
                client.images.remove(name)


def recipe(client: docker.DockerClient) -> tuple[Callable[[docker.DockerClient, str, str], None], str, str]:
    """How to make the image for this engine, from what, and the tag that changes whenever these do."""
    if reason := why_not_ours(client):
        return build_image, f"its Dockerfile, as {reason}", fingerprint(DOCKERFILE.read_text())
    ours = fingerprint(Path(__file__).read_text(), sys.version, PYTHON)
    return import_image, f"this machine's Python {platform.python_version()}", ours


def prepare_image(client: docker.DockerClient, image: str) -> str:
    """Make the image if it is missing, and say what was done.

    It gets a tag of its own first: an import onto a tag in use would leave the old image behind, untagged.
    """
    began = time.monotonic()
    done = "there"
    repository, _, name = image.partition(":")
    make, source, tag = recipe(client)
    if not exists(client, f"{repository}:{tag}"):
        make(client, repository, tag)
        done = f"made from {source} in {time.monotonic() - began:.1f} s"
    made = client.images.get(f"{repository}:{tag}")
    made.tag(repository, name or "latest")
    drop_older(client, repository, tag)
    return f"{done}, {made.attrs['Size'] / 1e6:.0f} MB"


def prepare_network(client: docker.DockerClient, network: str) -> str:
    """Make the network if it is missing, and say what was done. On the default one, names do not resolve."""
    try:
        client.networks.get(network)
    except NotFound:
        client.networks.create(network, driver="bridge", check_duplicate=True)
        return "made"
    return "there"


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the network and the image of the demo, where missing.")
    parser.add_argument("--image", default="flcore-demo:latest")
    parser.add_argument("--network", default="flcore-demo")
    args = parser.parse_args()
    thing = "Docker Engine"
    try:
        with contextlib.closing(docker.from_env()) as client:
            thing = f"network {args.network}"
            print(f"{thing}: {prepare_network(client, args.network)}")
            thing = f"image {args.image}"
            print(f"{thing}: {prepare_image(client, args.image)}")
    except (PrepareError, DockerException, RequestException, OSError) as error:
        print(f"{thing}: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
