"""An image of this machine's own Python: its standard library, the shared libraries that it needs, a few commands.

It takes seconds to make and needs no registry. What runs in it finds the Python by which it was made.
"""

from __future__ import annotations

import compileall
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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flcore.errors import ConfigError

from ..runtime.docker_images import DockerImages

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
FINGERPRINT = re.compile("[0-9a-f]{12}")
"""The tags of images that are made here, see :func:`fingerprint`."""


def put(source: Path, target: Path) -> None:
    """Copy a file, through links, to a path whose directories may not be there yet."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def found(commands: Iterable[str]) -> dict[str, Path]:
    """Where this machine has the commands."""
    return {name: Path(path) for name in commands if (path := shutil.which(name))}


def linked_libraries(binaries: Iterable[Path], ldd: Iterable[str] = ("ldd",)) -> dict[str, Path]:
    """What the loader would load for these, as `name: path`; the loader itself is named by its whole path."""
    command = [*ldd, *map(str, binaries)]
    # It fails where one of them is not linked, and lists the rest all the same.
    listing = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603
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


def libraries_of(contents: Contents) -> dict[str, Path]:
    """The shared libraries that an image needs, as `name in the image: path here`."""
    modules = [path for path in STDLIB.glob("lib-dynload/*.so") if not NOT_NEEDED("", [path.name])]
    modules += contents.packages.rglob("*.so*") if contents.packages else []
    libraries = linked_libraries([PYTHON, *modules, *found(contents.commands).values()])
    if "libc.so.6" not in libraries:
        raise ConfigError(f"ldd names no C library for {PYTHON}")
    home = libraries["libc.so.6"].parent
    libraries |= {name: home / name for name in OPENED_BY_NAME if (home / name).exists()}
    if contents.packages:  # what they bring themselves they find themselves
        libraries = {name: path for name, path in libraries.items() if contents.packages not in path.parents}
    # All are beside the C library: there the loader finds them without a cache.
    return {str(home / name).lstrip("/"): path for name, path in libraries.items()}


def put_libraries(root: Path, contents: Contents) -> None:
    """Add the shared libraries."""
    for name, path in libraries_of(contents).items():
        put(path, root / name)


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


def import_image(images: DockerImages, name: str, contents: Contents = PLAIN) -> None:
    """Make the image. Raises JobLaunchError if the engine refuses it, ConfigError if this machine lacks something."""
    with tempfile.TemporaryDirectory(prefix="flcore-image-") as scratch:
        root, tar = Path(scratch, "root"), Path(scratch, "image.tar")
        root.mkdir()
        write_tar(tar, root, contents)
        images.import_tar(tar, name, CHANGES)


def make_image(images: DockerImages, name: str) -> bool:
    """Make the image if it is missing, or was made by another recipe or of another Python; return whether it was.

    It gets a tag of its own first: an import onto a tag in use would leave the old image behind, untagged.
    """
    repository, _, _ = name.partition(":")
    own = f"{repository}:{fingerprint(Path(__file__).read_text(), sys.version, PYTHON)}"
    is_missing = images.find(own) is None
    if is_missing:
        import_image(images, own)
    images.tag(own, name)
    images.remove_older(own, FINGERPRINT)
    return is_missing


def why_not_ours(images: DockerImages) -> str:
    """Return why this machine's Python cannot run in the engine's containers; empty if it can."""
    system, arch = images.platform()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    if (sys.platform, system) != ("linux", "linux"):
        return "this is not Linux"
    if arch != machine:
        return f"the engine's machine is {arch}"
    if platform.libc_ver()[0] != "glibc" or not shutil.which("ldd"):
        return "this machine has no GNU C library, or no ldd"
    return ""


def fingerprint(*parts: object) -> str:
    """Return the tag of an image that is made from these: it is made again only if one of them changes."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]
