"""What a site's config may say of secrets, and what a variable can hold of one."""

from __future__ import annotations

from typing import Any

import pytest

from launchers.container_spec import Secret
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.policy.secrets import parse_secrets

VALUE = "s3cret-value"


def test_a_secret_comes_from_a_file_or_a_variable() -> None:
    config = {"db": {"file": "/etc/db"}, "api": {"env": "SITE_KEY", "to_env": "API_KEY"}}
    assert parse_secrets("secrets", config) == (
        Secret("db", file="/etc/db"),
        Secret("api", env="SITE_KEY", to_env="API_KEY"),
    )


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ([], "secrets must be an object, got list"),
        ({"db": VALUE}, "secrets.db must be .*, got str"),
        ({"db": {VALUE: ""}}, r"secrets.db must be .*, got the keys"),
        ({"db": {}}, "secrets.db must be"),
        ({"db": {"to_env": "X"}}, "secrets.db must be"),
        ({"db": {"file": "/a", "env": "A"}}, "secrets.db must be"),
        ({"db": {"file": "/a", "mode": "0444"}}, "secrets.db must be"),
        ({"db": {"file": "a"}}, "secrets.db.file must be an absolute path, got 'a'"),
        ({"db": {"file": 1}}, "secrets.db.file must be an absolute path, got 1"),
        ({"db": {"env": "A-B"}}, "secrets.db.env must be the name of a variable"),
        ({"db": {"env": "A", "to_env": "A=B"}}, "secrets.db.to_env must be the name of a variable"),
        ({"db": {"env": "A", "to_env": ""}}, "secrets.db.to_env must be the name of a variable"),
        ({"../db": {"env": "A"}}, "secrets.../db: a name is 1 to 64 letters"),
        ({"": {"env": "A"}}, "a name is 1 to 64 letters"),
        ({".": {"env": "A"}}, "a name is 1 to 64 letters"),
        ({"a.b": {"env": "A"}, "a-b": {"env": "B"}}, "make the same variable FLCORE_SECRET_A_B"),
        ({"a": {"env": "A", "to_env": "X"}, "b": {"env": "B", "to_env": "X"}}, "make the same variable X"),
    ],
)
def test_a_wrong_one_is_a_value_error_by_its_key(config: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ClientDockerJobLauncher(secrets=config)


def test_a_variable_that_the_site_sets_for_every_job_cannot_be_a_secret_too() -> None:
    with pytest.raises(ValueError, match=r"secrets.db.to_env: 'env' sets DB, too"):
        ClientDockerJobLauncher(secrets={"db": {"env": "A", "to_env": "DB"}}, env={"DB": "1"})
