"""Which files a parent reads; that NVIDIA FLARE itself reads the same is a test of tests/compat/adapter."""

from __future__ import annotations

from pathlib import Path

import pytest

from flcore.errors import ConfigError
from launchers.flare.kit_layout import KitLayout
from tests.kit_folder import make_kit, write


def names(paths: list[Path], kit: Path) -> list[str]:
    return [str(path.relative_to(kit)) for path in paths]


def test_a_parent_reads_its_startup_file_its_resources_and_those_of_parents(tmp_path: Path) -> None:
    more = ("local/b__p_resources.json", "startup/a__p_resources.json", "startup/a__resources.json")
    for name in (
        *more,
        "local/c__j_resources.json",
        "local/.hidden__p_resources.json",
        "local/d__p_resources.json.bak",
    ):
        write(tmp_path / name, {})
    kit = make_kit(tmp_path)
    expected = ["startup/fed_client.json", "local/resources.json.default", *sorted(more[1:], reverse=True), more[0]]
    assert names(KitLayout.of(kit).configs(), kit) == expected


def test_a_sites_own_resources_come_before_those_that_were_provisioned(tmp_path: Path) -> None:
    kit = make_kit(tmp_path, "server", {"local/resources.json": {}})
    assert names(KitLayout.of(kit).configs(), kit) == ["startup/fed_server.json", "local/resources.json"]


def test_a_file_in_a_folder_below_is_taken_before_a_default(tmp_path: Path) -> None:
    kit = make_kit(tmp_path, extra={"local/custom/resources.json": {}})
    assert names(KitLayout.of(kit).configs(), kit)[1] == "local/custom/resources.json"


def test_a_comm_config_is_looked_for_in_all_the_kit(tmp_path: Path) -> None:
    kit = make_kit(tmp_path, extra={"job-1/app/comm_config.json": {}, "local/comm_config.json.default": {}})
    found = ["job-1/app/comm_config.json", "local/comm_config.json.default"]
    assert names(KitLayout.of(kit).comm_configs(), kit) == found


def test_a_site_has_the_name_that_its_start_script_gives_it(tmp_path: Path) -> None:
    kit = make_kit(tmp_path / "site-1")
    assert KitLayout.of(kit.rename(tmp_path / "moved")).site == "site-1"
    assert KitLayout.of(make_kit(tmp_path / "s", "server")).site == "server"


def test_a_prepared_kit_says_who_it_is_and_in_which_network_its_parent_starts(tmp_path: Path) -> None:
    script = "NETWORK_NAME=nvflare-network\ndocker run --name x \\\n    uid=site-7 \\\n"
    kit = make_kit(tmp_path / "prepared", extra={"startup/start_docker.sh": script})
    assert KitLayout.of(kit).container_network == ""
    (kit / "startup/start.sh").unlink()
    (kit / "startup/sub_start.sh").unlink()
    layout = KitLayout.of(kit)
    assert (layout.site, layout.container_network, layout.starts_in_container) == ("site-7", "nvflare-network", True)


def test_a_site_whose_start_script_does_not_say_has_its_folders_name(tmp_path: Path) -> None:
    kit = make_kit(tmp_path / "site-2", extra={"startup/sub_start.sh": ""})
    assert KitLayout.of(kit).site == "site-2"


def test_a_folder_that_is_no_kit_is_told_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is no kit of NVIDIA FLARE: it needs a folder local, and startup/fed_"):
        KitLayout.of(tmp_path)


def test_an_administrators_kit_is_told_to_run_no_jobs(tmp_path: Path) -> None:
    write(tmp_path / "startup/fed_admin.json", {})
    with pytest.raises(ConfigError, match="is an administrator's kit, which runs no jobs; name a client's or a server"):
        KitLayout.of(tmp_path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"prod_00/site-1: there is no such folder"):
        KitLayout.of(tmp_path / "prod_00/site-1")


def test_of_a_folder_of_kits_those_are_told_that_run_jobs(tmp_path: Path) -> None:
    for name, role in {"site-1": "client", "server1": "server"}.items():
        make_kit(tmp_path / name, role)
    write(tmp_path / "admin/startup/fed_admin.json", {})
    with pytest.raises(ConfigError) as raised:
        KitLayout.of(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}: is no kit, but has some in it: name {tmp_path}/server1, {tmp_path}/site-1"
    )
