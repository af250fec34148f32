"""What an installation writes into kits of NVIDIA FLARE."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launchers.flare import kit_layout

FOLDER = Path(kit_layout.__file__).with_name("templates")


def test_with_the_config_of_connections_no_job_needs_the_sites_key_to_be_let_in_by_its_parent() -> None:
    config = json.loads((FOLDER / "comm_config.json").read_text())
    assert config["internal"]["resources"]["connection_security"] == "clear"


@pytest.mark.parametrize("name", ["client__p_resources.json", "server__p_resources.json"])
def test_no_job_is_given_the_sites_key_unless_the_site_names_it(name: str) -> None:
    launcher, *_ = json.loads((FOLDER / name).read_text())["components"]
    assert "private_key" not in launcher["args"]
