"""Which NVIDIA FLARE an image has, wherever Debian, Docker's images, environments and conda put it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from launchers.kit_commands.image_findings import DEFAULT_PATH, Found, found_in, image_finding

VERSION = b"""
version_json = '''
{
 "date": "2026-08-31T16:26:39-0700",
 "full-revisionid": "16dbf277cce391936e61b3f16d5b852177719ab7",
 "version": "2.9.0"
}
'''  # END VERSION_JSON
"""


@dataclass
class Image:
    """Files by their paths, and links; a folder is there if something is in it."""

    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def target(self, path: str) -> str | None:
        if path in self.links:
            return self.links[path]
        return path if any(f"{name}/".startswith(f"{path}/") for name in self.files) else None

    def read(self, path: str, most: int) -> bytes:
        return self.files.get(path, b"")[:most]


def image(packages: str, *links: str, **files: bytes) -> Image:
    """Return one with the package in a folder; each link is ``path -> where it leads, by all links``."""
    leading = dict(link.split(" -> ") for link in links)
    real = dict.fromkeys(leading.values(), b"ELF")
    return Image({**real, f"{packages}/nvflare/_version.py": VERSION, **files}, leading)


DOCKERS = image("/usr/local/lib/python3.12/site-packages", "/usr/local/bin/python3 -> /usr/local/bin/python3.12")
DEBIANS = image("/usr/local/lib/python3.11/dist-packages", "/usr/bin/python3 -> /usr/bin/python3.11")
CONDAS = image("/opt/conda/lib/python3.10/site-packages", "/opt/conda/bin/python3 -> /opt/conda/bin/python3.10")
VENV = image("/opt/venv/lib/python3.11/site-packages", "/opt/venv/bin/python3 -> /usr/bin/python3.11")
VENV.files["/opt/venv/pyvenv.cfg"] = b"home = /usr/bin\ninclude-system-site-packages = false\n"
WITH_ALL = image("/usr/lib/python3/dist-packages", "/opt/venv/bin/python3 -> /usr/bin/python3.11")
WITH_ALL.files["/opt/venv/pyvenv.cfg"] = b"home = /usr/bin\ninclude-system-site-packages = true\n"
LINKED = image("/opt/py/lib/python3.12/site-packages", "/usr/bin/python3 -> /opt/py/bin/python3.12")
NAMELESS = Image({"/usr/bin/python3": b"ELF", "/usr/lib64/python3.9/site-packages/nvflare/_version.py": VERSION})


@pytest.mark.parametrize(
    ("files", "path", "interpreter"),
    [
        (DOCKERS, DEFAULT_PATH, "/usr/local/bin/python3"),
        (DEBIANS, DEFAULT_PATH, "/usr/bin/python3"),
        (CONDAS, f"/opt/conda/bin:{DEFAULT_PATH}", "/opt/conda/bin/python3"),
        (VENV, f"/opt/venv/bin:{DEFAULT_PATH}", "/opt/venv/bin/python3"),
        (WITH_ALL, f"/opt/venv/bin:{DEFAULT_PATH}", "/opt/venv/bin/python3"),
        (LINKED, DEFAULT_PATH, "/usr/bin/python3"),
        (NAMELESS, DEFAULT_PATH, "/usr/bin/python3"),
    ],
    ids=["Docker's", "Debian's", "conda's", "an environment", "one with all packages", "a link", "a nameless one"],
)
def test_it_is_found_where_the_interpreter_looks(files: Image, path: str, interpreter: str) -> None:
    found = found_in(files, "python3", path)
    assert (found.interpreter, found.nvflare) == (interpreter, "2.9.0")


def test_a_path_is_taken_as_it_is() -> None:
    assert found_in(VENV, "/opt/venv/bin/python3", "").nvflare == "2.9.0"


def test_an_environment_hides_what_is_installed_for_all() -> None:
    files = image("/usr/lib/python3/dist-packages", "/opt/venv/bin/python3 -> /usr/bin/python3.11")
    files.files["/opt/venv/pyvenv.cfg"] = b"home = /usr/bin\n"
    files.files["/opt/venv/lib/python3.11/site-packages/README"] = b""
    found = found_in(files, "python3", "/opt/venv/bin:/usr/bin")
    assert found == Found("/opt/venv/bin/python3", ("/opt/venv/lib/python3.11/site-packages",))


def test_the_first_in_the_path_counts() -> None:
    files = image("/usr/local/lib/python3.12/site-packages", "/usr/local/bin/python3 -> /usr/local/bin/python3.12")
    files.links["/usr/bin/python3"] = "/usr/bin/python3.11"
    assert found_in(files, "python3", "/usr/bin:/usr/local/bin").nvflare == ""


def test_an_image_without_python_has_none() -> None:
    assert found_in(Image(), "python3", DEFAULT_PATH) == Found()


@pytest.mark.parametrize("said", [b"", b"version = 2.9", b"\xff" * 10], ids=["empty", "otherwise", "no text"])
def test_what_does_not_say_its_version_is_not_seen(said: bytes) -> None:
    files = image("/usr/local/lib/python3.12/site-packages", "/usr/local/bin/python3 -> /usr/local/bin/python3.12")
    files.files["/usr/local/lib/python3.12/site-packages/nvflare/_version.py"] = said
    assert found_in(files, "python3", DEFAULT_PATH).nvflare == ""


HERE = Found("/usr/bin/python3", ("/usr/lib/python3/dist-packages",), "2.9.0")


@pytest.mark.parametrize(
    ("found", "parent", "said"),
    [
        (HERE, "2.9.0", "ok job:1 has NVIDIA FLARE 2.9.0"),
        (HERE, "", "ok job:1 has NVIDIA FLARE 2.9.0"),
        (
            HERE,
            "2.9.1",
            "warning job:1 has NVIDIA FLARE 2.9.0, and the parent 2.9.1; build it with nvflare==2.9.1",
        ),
        (
            HERE,
            "2.8.3",
            "MISSING job:1 has NVIDIA FLARE 2.9.0, and the parent 2.8.3, whose jobs are called otherwise; build it "
            "with nvflare==2.8.3",
        ),
        (
            Found(HERE.interpreter, HERE.folders),
            "2.9.0",
            "warning no NVIDIA FLARE is to be seen in job:1, where its /usr/bin/python3 looks "
            "(/usr/lib/python3/dist-packages), so that its jobs may not start; build it with "
            "nvflare==2.9.0",
        ),
        (Found(), "2.9.0", "MISSING job:1 has no python3 in its PATH, by which jobs are started: name it by 'python'"),
    ],
    ids=["the same", "as the parent is not known", "almost", "another", "none", "no interpreter"],
)
def test_it_should_be_the_parent_s(found: Found, parent: str, said: str) -> None:
    words = {(True, False): "ok", (True, True): "warning", (False, False): "MISSING"}
    check = image_finding("job:1", found, "python3", parent)
    assert f"{words[check.ok, check.warning]} {check.detail}" == said
