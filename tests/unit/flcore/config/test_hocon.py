"""hocon: what is read, that nothing else of the site is, and how what is refused is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyhocon", reason="of the extra [hocon]")

from flcore.config.hocon import MAX_HOCON_BYTES, load_hocon
from flcore.errors import ConfigError
from flcore.extras import how_to_install

TEMPLATE = """\
{
  # as NVIDIA FLARE's templates are
  name = "sag"
  resource_spec {}
  deploy_map {
    app_server = ["server"]  // of the server
    app.clients = [site-1, "site-2"],
    "a.b" = []
  }
  min_clients = 2, share = 0.5, checked = true, study = null
  mandatory_clients = []
}
"""

INCLUDES = [
    'include "{path}"',
    'INCLUDE\t"{path}"',
    '\u0131nclude "{path}"',  # the parser compares capitals, and this one's is I
    'include required("{path}")',
    'include required(file( "{path}"))',
    'include file("{path}")',
    'include url("file://{path}")',
    'include package("json:{path}")',
    'a {{ include "{path}" }}',
    'a = [include "{path}"]',
    'a = include "{path}"',
    'include "http://127.0.0.1:9/{path}"',
]


def write(folder: Path, text: str) -> Path:
    path = folder / "meta.conf"
    path.write_text(text)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as raised:
        load_hocon(path)
    prefix, said = str(raised.value)[: len(f"{path}: ")], str(raised.value)[len(f"{path}: ") :]
    assert prefix == f"{path}: "
    assert "\n" not in said
    return said


def test_a_template_of_nvidia_flare_is_read(tmp_path: Path) -> None:
    assert load_hocon(write(tmp_path, TEMPLATE)) == {
        "name": "sag",
        "resource_spec": {},
        "deploy_map": {"app_server": ["server"], "app": {"clients": ["site-1", "site-2"]}, "a.b": []},
        "min_clients": 2,
        "share": 0.5,
        "checked": True,
        "study": None,
        "mandatory_clients": [],
    }


@pytest.mark.parametrize("include", INCLUDES)
def test_no_file_and_no_address_is_included(tmp_path: Path, include: str) -> None:
    secret = tmp_path / "secret.conf"
    secret.write_text("password = hunter2")
    said = refusal(write(tmp_path, "name = x\n" + include.format(path=secret)))
    assert said == "line 2: another file or address is included, which a job may not"


def test_the_parser_would_have_opened_each_file(tmp_path: Path) -> None:
    """So that the test above shows more than that the texts are nonsense."""
    secret = tmp_path / "secret.conf"
    secret.write_text("password = hunter2")
    texts = [include.format(path=secret) for include in INCLUDES if "http:" not in include]
    program = (
        "import sys; from pyhocon import ConfigFactory\n"
        "sys.addaudithook(lambda name, args: name == 'open' and print(args[0]))\n"
        "for text in sys.argv[1:]: ConfigFactory.parse_string(text)"
    )
    ran = subprocess.run([sys.executable, "-c", program, *texts], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines().count(str(secret)) == len(texts)


@pytest.mark.parametrize("text", ["a = ${KEY}", "a = ${?KEY}", 'a = "x" ${KEY}', "a { b = [1, ${KEY}] }", "KEY += x"])
def test_no_variable_of_the_site_gets_in(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "KEY", "hunter2")
    said = refusal(write(tmp_path, text))
    assert said == "holds a substitution (${…} or +=), which a job may not; write the value itself"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a = [1,\nb = }", "line 2, column 3: is no HOCON"),
        ("a = " + "[" * 3000, "nested deeper than 32 levels"),
        ("a = " + "[" * 40 + "]" * 40, "nested deeper than 32 levels"),
        ("a = 1e999", "Infinity is no JSON number"),
        ("a = 5 days", "a: must be a text, a number, true, false, null, a list or an object, got timedelta"),
        ('a = "x\0"', "the text 'x\\x00' holds a NUL"),
        ("x" * (MAX_HOCON_BYTES + 1), f"longer than {MAX_HOCON_BYTES} bytes"),
    ],
)
def test_what_is_no_good_hocon_is_refused_with_its_reason(tmp_path: Path, text: str, error: str) -> None:
    assert refusal(write(tmp_path, text)) == error


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "meta.conf"
    path.write_bytes(b"a = \xff")
    assert refusal(path) == "byte 4 is no UTF-8"


def test_a_link_to_a_file_of_the_site_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.conf").write_text("password = hunter2")
    (tmp_path / "meta.conf").symlink_to("secret.conf")
    assert refusal(tmp_path / "meta.conf") == "cannot be read: it is a link"


def test_without_its_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyhocon", None)  # as if it were not installed
    assert refusal(write(tmp_path, TEMPLATE)) == f"to read HOCON pyhocon is needed: {how_to_install('hocon')}"
