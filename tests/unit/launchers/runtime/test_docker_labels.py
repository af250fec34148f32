"""A container is a launcher's by the labels that it was made with, never by those of its image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from launchers.container_spec import LABEL_JOB_ID, LABEL_NONCE, LABEL_SITE
from launchers.runtime.docker import DockerRuntime
from launchers.runtime.docker_labels import ImageLabels
from tests.small_engine import small_engine

OURS = {LABEL_SITE: "site-1", LABEL_JOB_ID: "job-1"}
INHERITED = OURS | {LABEL_NONCE: "n1"}


class Images:
    """What an engine says of images, and how often it was asked."""

    def __init__(self, labels: dict[str, str] | None) -> None:
        self.labels = labels
        self.asked = 0

    def labels_of(self, image: str) -> dict[str, str] | None:
        self.asked += 1
        return None if image == "sha256:gone" else self.labels or {}


def entry(labels: dict[str, str] | None, image: str = "sha256:1") -> dict[str, Any]:
    return {"Id": "c1", "ImageID": image, "Labels": labels}


@pytest.mark.parametrize("labels", [INHERITED, OURS], ids=["with-nonce", "without-nonce"])
def test_a_container_with_its_images_labels_is_nobodys(labels: dict[str, str]) -> None:
    assert ImageLabels(Images(labels).labels_of).without_inherited([entry(labels)]) == []


@pytest.mark.parametrize("image_labels", [None, {}, {"maintainer": "x"}, OURS, INHERITED])
def test_a_launchers_container_is_its_own_whatever_its_image_says(image_labels: dict[str, str] | None) -> None:
    made = entry(OURS | {LABEL_NONCE: "n2"})
    assert ImageLabels(Images(image_labels).labels_of).without_inherited([made]) == [made]


def test_an_image_is_asked_for_once_and_only_for_what_has_such_labels() -> None:
    images = Images(INHERITED)
    labels = ImageLabels(images.labels_of)
    for _ in range(3):
        labels.without_inherited([entry(None), entry(INHERITED), entry(OURS | {LABEL_NONCE: "n2"})])
    assert images.asked == 1


def test_a_container_whose_image_is_gone_stays_listed() -> None:
    made = entry(INHERITED, "sha256:gone")
    assert ImageLabels(Images({}).labels_of).without_inherited([made]) == [made]


def test_of_an_engines_list_only_what_was_made_with_its_labels_is_told(tmp_path: Path) -> None:
    made, forged = OURS | {LABEL_NONCE: "n2"}, OURS
    listed = [
        {"Id": name, "Names": [f"/{name}"], "State": "running", "Created": 1, "ImageID": "sha256:1", "Labels": labels}
        for name, labels in {"a-job": made, "a-strangers": forged}.items()
    ]
    with small_engine(tmp_path) as engine:
        engine.answers["GET /containers/json"] = (200, listed)
        engine.answers["GET /images/sha256:1/json"] = (200, {"Id": "sha256:1", "Config": {"Labels": forged}})
        runtime = DockerRuntime(engine.address)
        assert [found.name for found in runtime.list_containers()] == ["a-job"]
        runtime.close()
