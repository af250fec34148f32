"""Whose a container's labels are: its maker's, or those of its image, which anybody may have written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..container_spec import LABEL_NONCE

_OURS = "flcore."


class ImageLabels:
    """Tells the containers that a launcher has made from those whose image says so.

    A launcher sets every label of ours, and the nonce anew for each container. So one whose nonce its image has, too,
    was made by somebody else: from an image with such a ``LABEL``, or with what ``docker commit`` took of a job's.

    Args:
        labels_of: returns those of an image, by its id; None where the engine has it no more, or cannot say.
    """

    def __init__(self, labels_of: Callable[[str], Mapping[str, str] | None]) -> None:
        self._labels_of = labels_of
        self._known: dict[str, Mapping[str, str]] = {}
        """Of the images that were listed last. What an id means never changes."""

    def without_inherited(self, listed: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the entries of a list whose labels of ours, if they have any, are no image's."""
        entries = list(listed)
        images = {entry.get("ImageID") for entry in entries}
        self._known = {image: labels for image, labels in self._known.items() if image in images}
        return [entry for entry in entries if not self._is_inherited(entry)]

    def _is_inherited(self, entry: Mapping[str, Any]) -> bool:
        labels = entry.get("Labels") or {}
        if not any(label.startswith(_OURS) for label in labels):
            return False
        of_image = self._of(entry.get("ImageID") or "")
        return any(label.startswith(_OURS) for label in of_image) and labels.get(LABEL_NONCE) == of_image.get(
            LABEL_NONCE
        )

    def _of(self, image: str) -> Mapping[str, str]:
        if image and image not in self._known:
            labels = self._labels_of(image)
            if labels is None:
                return {}
            self._known[image] = labels
        return self._known.get(image, {})
