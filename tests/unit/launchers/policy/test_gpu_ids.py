"""How a site names its GPUs: so that one device has one name."""

from __future__ import annotations

from typing import Any

import pytest

from launchers.policy.gpu_ids import parse_gpu_ids

UUIDS = ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "MIG-c2a1b0de-5f1e-4c57-9d1b-0d0f0e1a2b3c")


@pytest.mark.parametrize("ids", [[], ["0"], ["0", "10"], UUIDS, list(UUIDS)])
def test_a_site_names_its_gpus_by_index_or_by_uuid(ids: Any) -> None:
    assert parse_gpu_ids(ids) == tuple(ids)


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        (["0", "0"], "names a device twice"),
        (["0", UUIDS[0]], "all indices or all UUIDs"),
        (["00"], "whole UUIDs"),
        (["-1"], "whole UUIDs"),
        (["1000"], "whole UUIDs"),
        (["٣"], "whole UUIDs"),
        (["0\n"], "whole UUIDs"),
        ([0], "whole UUIDs"),
        (["GPU-8932f937"], "whole UUIDs"),
        ([UUIDS[0].upper()], "whole UUIDs"),
        (["../0"], "whole UUIDs"),
        ([""], "whole UUIDs"),
        ("0", "whole UUIDs"),
        (None, "whole UUIDs"),
        ({"0": 1}, "whole UUIDs"),
    ],
)
def test_a_name_by_which_a_device_could_have_two_names_is_refused(ids: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_gpu_ids(ids)
