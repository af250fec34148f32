"""What of a host, and of a kit, an operator may not expect."""

from __future__ import annotations

from pathlib import Path

import pytest

from launchers.container_spec import Mount
from launchers.kit_commands.host_findings import memory_findings, socket_findings
from tests.kit_folder import make_kit, write


def test_data_that_a_folder_in_memory_hides_is_told(tmp_path: Path) -> None:
    write(tmp_path / "nvflare/data/train.csv", "1,2")
    write(tmp_path / "nvflare/jobs-storage/job", "")
    (found,) = memory_findings({str(tmp_path): "", "/nowhere": ""}, [], Path("/kit"))
    assert found.warning
    assert found.detail == (
        f"jobs have a {tmp_path} of their own, in memory, and do not see this host's {tmp_path}/nvflare/data; what "
        "they "
        "are to see, name in 'datasets' or 'mounts'"
    )


@pytest.mark.parametrize("target", ["nvflare", "nvflare/data", "nvflare/data/images"])
def test_data_that_are_mounted_are_seen(target: str, tmp_path: Path) -> None:
    write(tmp_path / "nvflare/data/train.csv", "1,2")
    mount = Mount("/data", f"{tmp_path}/{target}")
    assert list(memory_findings({str(tmp_path): ""}, [mount], Path("/kit"))) == []


def test_a_kit_below_such_a_folder_is_no_data(tmp_path: Path) -> None:
    kit = make_kit(tmp_path / "nvflare/poc/site-1")
    assert list(memory_findings({str(tmp_path): ""}, [], kit)) == []


def test_an_engine_elsewhere_has_no_socket_to_be_looked_at(tmp_path: Path) -> None:
    assert list(socket_findings("tcp://engine:2376", tmp_path)) == []
    assert list(socket_findings(f"unix://{tmp_path}/nobody", tmp_path)) == []
