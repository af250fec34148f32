"""What is deployed with a site, on real engines and init systems. `make test-deploy` installs what that needs."""

from tests.integration.conftest import docker_client

__all__ = ["docker_client"]
