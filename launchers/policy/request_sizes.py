"""A runtime's request as people read it: a config says ``256Mi``, an engine is asked for 268435456. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flcore.config.sizes import size_to_read

_OF_A_MOUNT = {"Type", "Source", "Target", "ReadOnly"}
_SIZES = ("Memory", "MemorySwap", "ShmSize")
_SIZE_OF_A_FOLDER = re.compile(r"(?<![^,])size=([0-9]{1,19})(?![^,])", re.ASCII)
_BYTES = re.compile(r"[0-9]{1,19}", re.ASCII)


def with_sizes_in_words(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request as it is to be read. It may be a record's: what has another shape stands as it is."""
    host = body.get("HostConfig")
    if not isinstance(host, dict):
        return dict(body)
    return {**body, "HostConfig": {key: _in_words(key, value) for key, value in host.items()}}


def _in_words(key: str, value: Any) -> Any:
    if key in _SIZES and type(value) is int:
        return size_to_read(value)
    if key == "Tmpfs" and isinstance(value, dict):
        return {path: _options_in_words(options) for path, options in value.items()}
    if key == "LogConfig" and isinstance(value, dict) and isinstance(value.get("Config"), dict):
        return {**value, "Config": {name: _log_option(name, option) for name, option in value["Config"].items()}}
    if key == "Mounts" and isinstance(value, list):
        return [_mount_in_words(mount) for mount in value]
    return value


def _mount_in_words(mount: Any) -> Any:
    """Return a path of the host, and the job's name for it if that is another."""
    if not isinstance(mount, dict) or set(mount) != _OF_A_MOUNT or mount["Type"] != "bind":
        return mount
    source, target, is_read_only = mount["Source"], mount["Target"], mount["ReadOnly"]
    return f"{source}{'' if target == source else f' -> {target}'}, {'read-only' if is_read_only else 'writable'}"


def _options_in_words(options: Any) -> Any:
    if not isinstance(options, str):
        return options
    return _SIZE_OF_A_FOLDER.sub(lambda size: f"size={size_to_read(int(size[1]))}", options)


def _log_option(name: str, value: Any) -> Any:
    if name == "max-size" and isinstance(value, str) and _BYTES.fullmatch(value):
        return size_to_read(int(value))
    return value
