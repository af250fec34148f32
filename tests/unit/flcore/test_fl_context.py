"""FLContext and FLContextManager: what is kept, who sees it, and what is refused."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from flcore import FLContext, FLContextKey, FLContextManager
from flcore.fl_constant import ReservedKey

THREADS = 8


@pytest.fixture
def manager() -> FLContextManager:
    return FLContextManager(engine="the engine", identity_name="site-1", job_id="job-1")


def in_threads(work: Callable[[int], Any]) -> list[Any]:
    """Call ``work(0)``, ``work(1)``, … at the same time, each in a thread of its own, and return what they return."""
    barrier = Barrier(THREADS)

    def start_together(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(start_together, range(THREADS)))


# --- values ---


def test_a_property_that_was_set_is_found() -> None:
    fl_ctx = FLContext()
    assert fl_ctx.set_prop("color", "red")
    assert fl_ctx.get_prop("color") == "red"


def test_a_property_that_was_not_set_is_the_default() -> None:
    assert FLContext().get_prop("color") is None
    assert FLContext().get_prop("color", "blue") == "blue"


def test_a_none_that_was_stored_is_none_and_not_the_default() -> None:
    fl_ctx = FLContext()
    fl_ctx.set_prop("color", None)
    assert fl_ctx.get_prop("color", "blue") is None


def test_a_false_value_in_the_manager_is_found_too(manager: FLContextManager) -> None:
    manager.new_context().set_prop("count", 0)
    assert manager.new_context().get_prop("count", 7) == 0


def test_a_property_can_be_set_again_with_the_same_attributes() -> None:
    fl_ctx = FLContext()
    fl_ctx.set_prop("color", "red", private=False, sticky=False)
    assert fl_ctx.set_prop("color", "blue", private=False, sticky=False)
    assert fl_ctx.get_prop("color") == "blue"


def test_a_key_that_is_no_text_is_refused() -> None:
    key: Any = 5
    with pytest.raises(ValueError, match="a property's key must be a str, not int"):
        FLContext().set_prop(key, "red")


def test_details_tell_the_attributes() -> None:
    fl_ctx = FLContext()
    fl_ctx.set_prop("color", "red", private=False, sticky=False)
    assert fl_ctx.get_prop_detail("color") == {"value": "red", "private": False, "sticky": False}
    assert fl_ctx.get_prop_detail("shape") is None


def test_properties_are_private_and_sticky_unless_said_otherwise() -> None:
    fl_ctx = FLContext()
    fl_ctx.set_prop("color", "red")
    assert fl_ctx.get_prop_detail("color") == {"value": "red", "private": True, "sticky": True}


# --- conflicts ---


@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("sticky", [True, False])
def test_a_key_keeps_its_attributes_whatever_they_are(private: bool, sticky: bool, manager: FLContextManager) -> None:
    fl_ctx = manager.new_context()
    fl_ctx.set_prop("color", "red", private, sticky)
    conflicts = [(p, s) for p in (True, False) for s in (True, False) if (p, s) != (private, sticky)]
    assert [fl_ctx.set_prop("color", "blue", *conflict) for conflict in conflicts] == [False] * 3
    assert fl_ctx.get_prop_detail("color") == {"value": "red", "private": private, "sticky": sticky}


def test_a_conflict_is_logged_with_the_key_and_both_attributes_but_no_value(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fl_ctx = FLContext()
    fl_ctx.set_prop("password", "a-secret", private=True, sticky=True)
    fl_ctx.set_prop("password", "another-secret", private=False, sticky=False)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert caplog.messages == ["property 'password' is private:sticky: it was not set as public:non-sticky"]


def test_setting_a_property_rightly_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    fl_ctx = FLContext()
    fl_ctx.set_prop("color", "red")
    fl_ctx.set_prop("color", "blue")
    assert caplog.messages == []


def test_a_conflict_with_a_sticky_property_of_another_context_changes_nothing(manager: FLContextManager) -> None:
    manager.new_context().set_prop("color", "red", private=True, sticky=True)
    fl_ctx = manager.new_context()
    assert not fl_ctx.set_prop("color", "blue", private=False, sticky=False)
    assert fl_ctx.get_prop("color") == "red"


def test_put_sets_whatever_the_attributes_were() -> None:
    fl_ctx = FLContext()
    fl_ctx.set_prop("color", "red")
    fl_ctx.put("color", "blue", private=False, sticky=False)
    assert fl_ctx.get_prop_detail("color") == {"value": "blue", "private": False, "sticky": False}


def test_several_properties_are_put_at_once_whatever_their_attributes_were(manager: FLContextManager) -> None:
    fl_ctx = manager.new_context()
    fl_ctx.set_prop("color", "red")
    fl_ctx.put_all({"color": ("blue", (False, False)), "shape": ("round", (True, False))})
    assert fl_ctx.get_prop_detail("color") == {"value": "blue", "private": False, "sticky": False}
    assert fl_ctx.get_prop_detail("shape") == {"value": "round", "private": True, "sticky": False}
    assert manager.new_context().get_prop("color") == "red"


# --- sticky, private, removal ---


def test_a_sticky_property_is_seen_in_all_contexts_of_the_manager(manager: FLContextManager) -> None:
    earlier, fl_ctx = manager.new_context(), manager.new_context()
    fl_ctx.set_prop("color", "red", sticky=True)
    assert [ctx.get_prop("color") for ctx in (earlier, fl_ctx, manager.new_context())] == ["red"] * 3


def test_a_sticky_property_can_be_changed_from_another_context(manager: FLContextManager) -> None:
    first, second = manager.new_context(), manager.new_context()
    first.set_prop("color", "red")
    second.set_prop("color", "blue")
    assert first.get_prop("color") == "blue"


def test_a_property_that_is_not_sticky_is_seen_in_its_own_context_only(manager: FLContextManager) -> None:
    manager.new_context().set_prop("color", "red", sticky=False)
    assert manager.new_context().get_prop("color") is None


def test_two_managers_share_nothing(manager: FLContextManager) -> None:
    manager.new_context().set_prop("color", "red")
    assert FLContextManager().new_context().get_prop("color") is None


def test_stickers_given_to_the_manager_are_in_every_context() -> None:
    manager = FLContextManager(public_stickers={"color": "red"}, private_stickers={"key": "k"})
    fl_ctx = manager.new_context()
    assert fl_ctx.get_prop_detail("color") == {"value": "red", "private": False, "sticky": True}
    assert fl_ctx.get_prop_detail("key") == {"value": "k", "private": True, "sticky": True}


def test_only_public_properties_may_be_shown_to_peers(manager: FLContextManager) -> None:
    fl_ctx = manager.new_context()
    fl_ctx.set_prop("color", "red", private=False)
    fl_ctx.set_prop("shape", "round", private=False, sticky=False)
    fl_ctx.set_prop("key", "k", private=True)
    assert fl_ctx.get_all_public_props() == {
        ReservedKey.RUN_NUM: "job-1",
        ReservedKey.IDENTITY_NAME: "site-1",
        "shape": "round",
        "color": "red",
    }


def test_a_removed_property_is_gone_and_removing_it_again_does_nothing() -> None:
    fl_ctx = FLContext()
    fl_ctx.set_prop("color", "red")
    fl_ctx.remove_prop("color")
    fl_ctx.remove_prop("color")
    assert fl_ctx.get_prop("color") is None


def test_a_key_with_two_underscores_in_front_is_removed_by_force_only() -> None:
    fl_ctx = FLContext()
    fl_ctx.set_prop(FLContextKey.TASK_NAME, "train")
    fl_ctx.remove_prop(FLContextKey.TASK_NAME)
    assert fl_ctx.get_prop(FLContextKey.TASK_NAME) == "train"
    fl_ctx.remove_prop(FLContextKey.TASK_NAME, force_removal=True)
    assert fl_ctx.get_prop(FLContextKey.TASK_NAME) is None


def test_the_keys_are_the_contexts_own_then_those_of_its_manager(manager: FLContextManager) -> None:
    fl_ctx = manager.new_context()
    fl_ctx.set_prop("sticky", 1)
    fl_ctx.set_prop("own", 2, sticky=False)
    assert fl_ctx.get_prop_keys() == ["__engine__", "__manager__", "__run_num__", "__identity_name__", "own", "sticky"]


# --- what a new context knows ---


def test_a_new_context_knows_engine_site_and_job(manager: FLContextManager) -> None:
    fl_ctx = manager.new_context()
    assert fl_ctx.get_engine() == "the engine"
    assert fl_ctx.get_identity_name() == "site-1"
    assert fl_ctx.get_job_id() == "job-1"


@pytest.mark.parametrize(
    ("key", "private"),
    [("__engine__", True), ("__manager__", True), ("__run_num__", False), ("__identity_name__", False)],
)
def test_engine_and_manager_are_private_job_and_site_are_public(
    key: str, private: bool, manager: FLContextManager
) -> None:
    detail = manager.new_context().get_prop_detail(key)
    assert detail
    assert detail["private"] is private


def test_a_context_that_no_manager_made_has_the_defaults() -> None:
    fl_ctx = FLContext()
    assert (fl_ctx.get_engine(), fl_ctx.get_job_id(), fl_ctx.get_identity_name()) == (None, None, "")
    assert (fl_ctx.get_engine(1), fl_ctx.get_job_id("j"), fl_ctx.get_identity_name("me")) == (1, "j", "me")


def test_a_peers_context_is_kept_and_never_public() -> None:
    fl_ctx, peer = FLContext(), FLContext()
    assert fl_ctx.get_peer_context() is None
    fl_ctx.set_peer_context(peer)
    assert fl_ctx.get_peer_context() is peer
    assert fl_ctx.get_all_public_props() == {}


def test_a_context_is_usable_as_a_context_manager_and_swallows_no_error(manager: FLContextManager) -> None:
    with manager.new_context() as fl_ctx:
        fl_ctx.set_prop("color", "red")
    assert manager.new_context().get_prop("color") == "red"
    with pytest.raises(KeyError), fl_ctx:
        raise KeyError


def test_a_contexts_repr_shows_keys_and_no_values() -> None:
    fl_ctx = FLContext()
    fl_ctx.set_prop("password", "a-secret")
    assert repr(fl_ctx) == "<FLContext password>"


# --- threads ---


def test_many_threads_may_set_and_get_in_one_context(manager: FLContextManager) -> None:
    fl_ctx = manager.new_context()

    def work(number: int) -> bool:
        for i in range(200):
            fl_ctx.set_prop(f"own-{number}-{i}", i, sticky=False)
            fl_ctx.set_prop(f"sticky-{number}-{i}", i)
            fl_ctx.get_prop_keys()
        return all(fl_ctx.get_prop(f"{kind}-{number}-{i}") == i for kind in ("own", "sticky") for i in range(200))

    assert all(in_threads(work))


def test_contexts_that_race_for_a_sticky_key_agree_on_its_attributes(manager: FLContextManager) -> None:
    contexts = [manager.new_context() for _ in range(THREADS)]

    def work(number: int) -> list[bool]:
        return [contexts[number].set_prop(f"key-{i}", number, private=number % 2 == 0) for i in range(200)]

    accepted = in_threads(work)
    for i in range(200):
        detail = manager.new_context().get_prop_detail(f"key-{i}")
        assert detail
        assert {number % 2 == 0 for number in range(THREADS) if accepted[number][i]} == {detail["private"]}
