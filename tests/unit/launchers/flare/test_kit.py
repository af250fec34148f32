"""A startup kit of NVIDIA FLARE's: what of it a job sees."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest

from flcore.errors import JobLaunchError, JobRejectedError
from launchers.flare.kit import KIT_FILES, FlareKit, check_run_folder, is_readable, storage

NEEDED = {
    *("startup/fed_client.json", "startup/rootCA.pem", "startup/client.crt", "startup/signature.json"),
    *("local/resources.json", "local/resources.json.default", "local/log_config.json.default"),
    *("local/privacy.json", "local/comm_config.json", "local/custom", "local/x__resources.json"),
}
FOR_PARENTS = {
    *("startup/start.sh", "startup/sub_start.sh", "startup/client.pfx", "startup/site-1.p12", "startup/fed_admin.json"),
    *(
        "local/docker__p_resources.json",
        "local/study_data.yaml",
        "local/privacy.json.sample",
        "startup/x__p_resources.json",
    ),
    *("another-job/data.csv", ".flcore/site-id", "audit.log", "log.txt"),
}
KEY = "startup/client.key"


@pytest.fixture
def kit(tmp_path: Path) -> FlareKit:
    for name in (*NEEDED, *FOR_PARENTS, KEY):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name == "local/custom" else path.write_text("{}")
    return FlareKit(tmp_path)


def shown(kit: FlareKit, with_key: bool = False, alone: bool = False) -> dict[str, str]:
    files = kit.shown(KIT_FILES, with_key, alone)
    return {str(path.relative_to(kit.root)): str(file.relative_to(kit.root)) for path, file in files.items()}


def test_a_job_sees_what_its_process_reads_and_no_more(kit: FlareKit) -> None:
    assert set(shown(kit)) == NEEDED | {KEY}


def test_in_place_of_the_sites_key_it_sees_a_decoy(kit: FlareKit) -> None:
    assert shown(kit)[KEY] == ".flcore/decoy.key"


def test_a_job_that_talks_to_its_parent_alone_finds_our_config_of_connections_first_and_in_the_kits_place(
    kit: FlareKit,
) -> None:
    files = shown(kit, alone=True)
    ours = ".flcore/jobs_comm_config"
    assert (files["comm_config.json"], files["local/comm_config.json"]) == (ours, ours)
    assert shown(kit)["local/comm_config.json"] == "local/comm_config.json"


NO_CONNECTION = {"backbone_conn_gen": 1, "allow_adhoc_conns": False}


@pytest.mark.parametrize(
    ("kits", "ours"),
    [
        (None, NO_CONNECTION),
        ({"backbone_conn_gen": 2}, NO_CONNECTION),
        ({"allow_adhoc_conns": True, "max_message_size": 9}, {**NO_CONNECTION, "max_message_size": 9}),
        ({"backbone": {"connect_generation": [1, 2]}}, NO_CONNECTION),
        ({"internal": {"scheme": "tcp"}}, {**NO_CONNECTION, "internal": {"scheme": "tcp"}}),
    ],
)
def test_our_config_of_connections_is_the_kits_but_for_connections_past_the_parent(
    kit: FlareKit, kits: object, ours: object
) -> None:
    path = kit.root / "local/comm_config.json"
    path.unlink() if kits is None else path.write_text(json.dumps(kits))
    kit.make_comm_config()
    made = kit.root / ".flcore/jobs_comm_config"
    assert json.loads(made.read_text()) == ours
    assert made.stat().st_mode & 0o777 == 0o644


def test_what_the_kit_says_by_default_of_connections_is_in_ours_too(kit: FlareKit) -> None:
    (kit.root / "local/comm_config.json").rename(kit.root / "local/comm_config.json.default")
    (kit.root / "local/comm_config.json.default").write_text('{"max_message_size": 9}')
    kit.make_comm_config()
    assert json.loads((kit.root / ".flcore/jobs_comm_config").read_text()) == {**NO_CONNECTION, "max_message_size": 9}


def test_of_a_file_for_jobs_that_cannot_be_put_in_its_place_nothing_is_left(kit: FlareKit) -> None:
    (kit.root / ".flcore/jobs_comm_config/x").mkdir(parents=True)
    before = sorted((kit.root / ".flcore").iterdir())
    with pytest.raises(IsADirectoryError):
        kit.make_comm_config()
    assert sorted((kit.root / ".flcore").iterdir()) == before


def test_a_config_of_connections_that_is_no_object_is_named(kit: FlareKit) -> None:
    (kit.root / "local/comm_config.json").write_text("[]")
    with pytest.raises(JobLaunchError, match=r"the kit's .*local/comm_config.json: must be an object"):
        kit.make_comm_config()


BAD_JSON = ["[" * 100_000, "{", "\x00", '{"a": ' + "9" * 9999 + "}", "[" * 99 + "]" * 99, " " * (1 << 20) + "{}"]


@pytest.mark.parametrize("name", ["startup/signature.json", "local/resources.json", "local/comm_config.json"])
@pytest.mark.parametrize("content", [*BAD_JSON, None], ids=range(len(BAD_JSON) + 1))
def test_a_file_of_a_kit_that_cannot_be_read_is_named_in_an_error_of_the_launch_and_hangs_none(
    kit: FlareKit, name: str, content: str | None
) -> None:
    path = kit.root / name
    path.unlink()
    os.mkfifo(path) if content is None else path.write_text(content)
    with pytest.raises(JobLaunchError, match=f"^the kit's {path}: .{{1,300}}$"):
        {"signature.json": kit.signs_its_key, "comm_config.json": kit.make_comm_config}.get(
            path.name, partial(storage, path)
        )()


@pytest.mark.parametrize("content", ["5", "null", '{"a": 1, "a": 2}'])
def test_what_is_not_ours_to_judge_of_a_kit_is_passed_over(kit: FlareKit, content: str) -> None:
    for name in ("startup/signature.json", "local/resources.json"):
        (kit.root / name).write_text(content)
    assert not kit.signs_its_key()
    assert storage(kit.root / "local/resources.json") == []


def test_it_sees_the_key_if_it_works_only_with_that(kit: FlareKit) -> None:
    assert shown(kit, with_key=True)[KEY] == KEY


@pytest.mark.parametrize(
    ("signed", "is_signed"),
    [({}, False), ({"fed_client.json": "x"}, False), ({"client.key": "x"}, True), ({"server.key": "x"}, True)],
)
def test_a_kit_may_sign_its_key(kit: FlareKit, signed: dict[str, str], is_signed: bool) -> None:
    (kit.root / "startup/signature.json").write_text(json.dumps(signed))
    assert kit.signs_its_key() is is_signed


def test_a_kit_without_signatures_signs_nothing(tmp_path: Path) -> None:
    assert not FlareKit(tmp_path).signs_its_key()


@pytest.mark.parametrize(("mode", "readable"), [(0o644, True), (0o604, True), (0o640, False), (0o600, False)])
def test_another_user_reads_what_is_open_to_all(tmp_path: Path, mode: int, readable: bool) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    assert is_readable(path, "54321:54321") is readable


def test_a_group_reads_what_is_open_to_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o640)
    assert is_readable(path, f"54321:{os.getegid()}")


def test_the_owner_reads_what_is_its_own(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch(0o400)
    assert is_readable(path, f"{os.geteuid()}:54321")
    assert is_readable(path, "")


def test_what_is_not_there_yet_will_be_readable(tmp_path: Path) -> None:
    assert is_readable(tmp_path / "decoy", "54321:54321")


def test_the_folders_that_a_config_names_as_storage_are_found(tmp_path: Path) -> None:
    config = tmp_path / "resources.json"
    stored = {"path": "x.Storage", "args": {"root_dir": "/srv/snapshots", "uri_root": "/"}}
    manager = {"id": "job_manager", "args": {"uri_root": "/srv/jobs"}}
    others = [{"id": "a", "args": {"root": "/etc", "root_dir": "relative"}}, [manager], 1, None]
    config.write_text(json.dumps({"snapshot_persistor": {"args": {"storage": stored}}, "components": others}))
    assert sorted(storage(config)) == ["/srv/jobs", "/srv/snapshots"]


def test_a_config_that_is_no_json_names_nothing(tmp_path: Path) -> None:
    config = tmp_path / "resources.conf"
    config.write_text("root_dir = /srv")
    assert storage(config) == []


@pytest.mark.parametrize(
    "names",
    [["train.csv"], ["app_site-1/a", ".flcore/site-id"], ["app_site-1/a", "startup/client.key"], ["app_site-1"], []],
)
def test_a_folder_that_no_parent_made_for_a_job_is_no_jobs(tmp_path: Path, names: list[str]) -> None:
    (tmp_path / "data").mkdir()
    for name in names:
        path = tmp_path / "data" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    with pytest.raises(JobRejectedError, match=r"job data: job_id: names .*/data, which NVIDIA FLARE did not make"):
        check_run_folder("data", tmp_path / "data", "app_site-1")


def test_a_link_or_a_file_is_no_jobs_folder_either(tmp_path: Path) -> None:
    (tmp_path / "real/app_site-1").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(JobRejectedError):
            check_run_folder(name, tmp_path / name, "app_site-1")


def test_what_a_parent_made_is_a_jobs_and_so_is_what_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "job/app_site-1").mkdir(parents=True)
    (tmp_path / "job/meta.json").touch()
    check_run_folder("job", tmp_path / "job", "app_site-1")
    check_run_folder("none", tmp_path / "none", "app_site-1")
