"""How a site's config names GPUs: by UUID, or by index. Pure."""

from __future__ import annotations

import re
from typing import Any

from flcore.config.rules import Schema, whole

ALL_GPUS = "all"
"""In place of a list: those that can be found."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)
_UUID = re.compile(r"(GPU|MIG)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
"""Whole and in lower case, so that a device has one name only."""
_LISTS: list[Schema] = [
    {"type": "array", "items": {"type": "string", "pattern": whole(kind)}, "uniqueItems": True}
    for kind in (_INDEX, _UUID)
]
GPU_IDS: Schema = {"anyOf": [{"const": ALL_GPUS}, *_LISTS]}
"""What :func:`parse_gpu_ids` takes, or ALL_GPUS."""


def parse_gpu_ids(value: Any) -> tuple[str, ...]:
    """Return the ids of GPUs: all of them indices, or all of them UUIDs. Raises ValueError."""
    if not isinstance(value, list | tuple) or not all(is_gpu_id(item) for item in value):
        raise ValueError(
            'must be a list of whole UUIDs as in "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", or of indices as in "0"'
        )
    if len(set(value)) < len(value):
        raise ValueError("names a device twice")
    if len({is_index(item) for item in value}) > 1:
        raise ValueError("must be all indices or all UUIDs: one device may be both")
    return tuple(value)


def is_gpu_id(value: Any) -> bool:
    return isinstance(value, str) and bool(_INDEX.fullmatch(value) or _UUID.fullmatch(value))


def is_index(gpu_id: str) -> bool:
    return gpu_id.isdigit()
