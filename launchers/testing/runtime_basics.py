"""The contract of runtimes: what it has, and is, and how it is left."""

from __future__ import annotations

from ..docker_state import DOCKER_STATE
from ..runtime.base import Runtime
from .runtime_lab import FOR_EVER, RuntimeLab

_NEEDED = sorted({name for name in (*vars(Runtime), *Runtime.__annotations__) if not name.startswith("_")})
"""What a runtime must have, by name."""


class BasicContract:
    """Of :class:`launchers.testing.runtime_contract.RuntimeContract`."""

    # --- what it is ---

    def test_it_has_all_that_a_runtime_has(self, lab: RuntimeLab) -> None:
        missing = [name for name in _NEEDED if not hasattr(lab.tried, name)]
        assert not missing, (
            f"{type(lab.tried).__name__} lacks {', '.join(missing)}: see launchers.runtime.base.Runtime, or subclass "
            "launchers.runtime.plain.PlainRuntime, which has all that a simple runtime does without"
        )

    def test_it_says_what_it_is_the_same_each_time(self, lab: RuntimeLab) -> None:
        said = lab.runtime.traits()
        assert said.name, "traits() must have a name, for messages"
        assert lab.runtime.traits() == said, "traits() must say the same each time"

    def test_it_says_that_all_is_there(self, lab: RuntimeLab) -> None:
        checks = list(lab.runtime.check(None, None))
        assert checks, "check() must say of one thing at least whether it is there"
        wanting = [check for check in checks if not check.ok]
        assert not wanting, "check() must find nothing wrong, or these tests cannot run"

    # --- images ---

    def test_the_image_of_a_container_is_there(self, lab: RuntimeLab) -> None:
        found = lab.runtime.find_image(lab.image)
        assert found, "find_image() must find the lab's image; without images, every name means itself"

    def test_a_pull_that_was_closed_before_it_began_says_nothing(self, lab: RuntimeLab) -> None:
        pull = lab.runtime.pull("no-such-image:1")
        pull.close()
        pull.close()
        assert list(pull) == [], "a pull begins when it is iterated over, and not at all once it was closed"

    # --- how it is reached, and left ---

    def test_a_container_is_something_to_the_engine_itself(self, lab: RuntimeLab) -> None:
        native = lab.runtime.native(lab.run("one", *FOR_EVER))
        assert native is not None, "native() must return what the engine has for a container: its id, say"

    def test_a_container_has_a_host_name(self, lab: RuntimeLab) -> None:
        address = lab.runtime.address(lab.name("one"))
        assert address, "address() must return the host name by which others reach a container"

    def test_closing_lets_containers_go_on(self, lab: RuntimeLab) -> None:
        container_id = lab.run("one", *FOR_EVER)
        lab.runtime.close()
        lab.runtime.close()
        seen = lab.runtime.inspect(container_id)
        assert seen.state is DOCKER_STATE.RUNNING, "close() lets go of connections; what runs goes on"
