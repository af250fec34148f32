"""Jobs of real libraries that keep something at home, at a site that says nothing of it: `make test-libraries`.

They come from the package index, and into an image of their own: both take a minute at first.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from flcore import JobReturnCode
from launchers.first_site import python_image
from launchers.runtime.docker import DockerRuntime
from tests.environments import ROOT, environment

from .conftest import Lab
from .test_home import UNKNOWN, given

pytestmark = pytest.mark.libraries

LIBRARIES = ("huggingface_hub", "matplotlib")
REPOSITORY = "flcore-libraries"
PLOT = """
import io, json, pathlib
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
plt.plot([1, 2, 3])
plt.savefig(picture := io.BytesIO(), format="png")
kept = pathlib.Path(matplotlib.get_cachedir())
print(json.dumps({"picture": len(picture.getvalue()), "at": str(kept), "kept": [p.name for p in kept.iterdir()]}))
"""
# The hub is this very process: a site lets no job out to the real one.
DOWNLOAD = """
import hashlib, http.server, json, os, pathlib, threading
WEIGHTS = b"weights" * 1000
class Hub(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(200)
        self.send_header("ETag", '"' + hashlib.sha1(WEIGHTS).hexdigest() + '"')
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("Content-Length", str(len(WEIGHTS)))
        self.end_headers()
    def do_GET(self):
        self.do_HEAD()
        self.wfile.write(WEIGHTS)
    def log_message(self, *_): pass
hub = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=hub.serve_forever, daemon=True).start()
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:%d" % hub.server_address[1]
from huggingface_hub import cached_assets_path, hf_hub_download
path = pathlib.Path(hf_hub_download("team/model", "model.bin"))
again = pathlib.Path(hf_hub_download("team/model", "model.bin", local_files_only=True))
assets = cached_assets_path("flcore", namespace="team")
is_whole = path == again and path.read_bytes() == WEIGHTS
print(json.dumps({"is_whole": is_whole, "at": str(path), "assets": str(assets)}))
"""


@pytest.fixture(scope="module")
def image(docker_client: Any) -> str:
    python = environment(ROOT / "build/libraries", *LIBRARIES)
    packages = python.parent.parent / "lib" / Path(python_image.STDLIB).name / "site-packages"
    contents = python_image.Contents(packages=packages, without=("pip", "pip-*", "setuptools", "setuptools-*", "tests"))
    versions = sorted(path.name for path in packages.glob("*.dist-info"))
    tag = python_image.fingerprint(Path(python_image.__file__).read_text(), versions, sys.version)
    name, images = f"{REPOSITORY}:{tag}", DockerRuntime(client=docker_client).images
    if images.find(name) is None:
        python_image.import_image(images, name, contents)
        images.remove_older(name, python_image.FINGERPRINT)
    return name


def said(lab: Lab, program: str, **keys: Any) -> dict[str, Any]:
    handle = lab.launch("python3", "-W", "error::UserWarning", "-c", program, **keys, **given(lab, UNKNOWN))
    assert handle.wait() is JobReturnCode.SUCCESS, handle.logs()
    *before, last = handle.logs().splitlines()
    assert not [line for line in before if "cache" in line.lower()], before  # that it had to make do
    result: dict[str, Any] = json.loads(last)
    return result


@pytest.mark.parametrize(("keys", "home"), [({}, "/tmp"), ({"home": "."}, "/workspace/")], ids=["memory", "its folder"])
def test_matplotlib_keeps_its_fonts_at_home(lab: Lab, image: str, keys: dict[str, Any], home: str) -> None:
    found = said(lab, PLOT, image=image, **keys)
    assert found["picture"] > 1000
    assert found["at"].startswith(home)
    assert found["at"].endswith("/.cache/matplotlib")
    assert [name for name in found["kept"] if name.startswith("fontlist")]


@pytest.mark.parametrize(("keys", "home"), [({}, "/tmp"), ({"home": "."}, "/workspace/")], ids=["memory", "its folder"])
def test_hugging_faces_hub_keeps_models_at_home(lab: Lab, image: str, keys: dict[str, Any], home: str) -> None:
    found = said(lab, DOWNLOAD, image=image, **keys)
    assert found["is_whole"]
    assert found["at"].startswith(home)
    assert "/.cache/huggingface/hub/models--team--model/" in found["at"]
    assert found["assets"].startswith(home)
