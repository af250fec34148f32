"""What a job sees, in words and as values."""

from __future__ import annotations

import json

from flcore.job_scope import JobScope, SeenDataset


def test_all_that_a_job_sees_is_said_in_words() -> None:
    scope = JobScope(
        study="cardio",
        datasets=(SeenDataset("hearts", "/data/hearts", "/srv/hearts"), SeenDataset("more", "/srv/more", "/srv/more")),
        mounts=(SeenDataset("", "/scratch", "/srv/scratch", read_only=False),),
        secrets={"db": "file /etc/db"},
        image="job:1",
        images=(("job",), ("job", "team/*")),
        limits={"memory": "1Gi", "disk": "10Gi", "num_of_gpus": "0"},
        network="net",
    )
    assert list(scope.facts()) == [
        ("study", "cardio"),
        ("datasets", "hearts: /data/hearts, read-only; this host's /srv/hearts"),
        ("", "more: /srv/more, read-only"),
        ("mounts", "/scratch, writable; this host's /srv/scratch"),
        ("secrets", "db: file /etc/db"),
        ("image", "job:1"),
        ("may name", "job"),
        ("and of these", "job, team/*"),
        ("at most", "1Gi memory, 10Gi disk, 0 GPUs"),
        ("network", "net"),
    ]


def test_what_a_job_does_not_see_is_said_too() -> None:
    assert dict(JobScope(images=((),)).facts()) == {
        "study": "none",
        "datasets": "none",
        "secrets": "none",
        "image": "",
        "may name": "no other",
        "at most": "no limits",
    }


def test_a_study_that_a_site_does_not_list_is_said_to_be_a_word() -> None:
    assert dict(JobScope(study="x", is_listed=False).facts())["study"].startswith("x: only a word here")


def test_as_values_it_can_be_written_as_json() -> None:
    scope = JobScope("cardio", datasets=(SeenDataset("hearts", "/data/hearts", "/srv/hearts"),))
    told = json.loads(json.dumps(scope.as_dict()))
    assert told["study"] == "cardio"
    assert told["datasets"] == [{"name": "hearts", "path": "/data/hearts", "source": "/srv/hearts", "read_only": True}]
    assert (told["images"], told["network"]) == (None, None)
