"""What stands on containers outlives the version that put it there: another one must find its site's jobs by it."""

from __future__ import annotations

from launchers import container_spec


def test_the_labels_are_those_of_every_version() -> None:
    labels = {name: value for name, value in vars(container_spec).items() if name.startswith("LABEL_")}
    assert labels == {
        "LABEL_SITE": "flcore.site",
        "LABEL_JOB_ID": "flcore.job_id",
        "LABEL_LAUNCHER": "flcore.launcher",
        "LABEL_SITE_ID": "flcore.site_id",
        "LABEL_PARENT": "flcore.parent",
        "LABEL_STATE_DIR": "flcore.state_dir",
        "LABEL_IMAGE": "flcore.image",
        "LABEL_NONCE": "flcore.nonce",
        "LABEL_STUDY": "flcore.study",
    }
