"""Every way that a container can end: the states fired in order, the result, and nothing left behind."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flcore import FLComponent, FLContext, JobReturnCode
from flcore.errors import ImageError, JobStartError, NameInUseError, NetworkError
from flcore.event_type import EventType
from launchers.runtime.engine_traits import as_traits

from .conftest import IMAGE, NETWORK, Lab, until
from .engine_traits import Traits


class Raising(FLComponent):
    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.JOB_STATE_CHANGED:
            raise RuntimeError("as components do")


class Blocking(FLComponent):
    def __init__(self, released: threading.Event) -> None:
        super().__init__()
        self.released = released

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.JOB_STATE_CHANGED:
            self.released.wait(30)


def test_exit_0_is_a_success(lab: Lab) -> None:
    handle = lab.launch("true")
    assert handle.wait() is JobReturnCode.SUCCESS
    assert lab.left_over() == []
    assert lab.recorder.states() == ["created", "running", "exited"]
    assert handle.result is not None
    assert (handle.result.exit_code, handle.result.error, handle.result.ended_by) == (0, "", "")


def test_exit_3_is_an_execution_error(lab: Lab) -> None:
    handle = lab.launch("sh", "-c", "exit 3")
    assert handle.wait() is JobReturnCode.EXECUTION_ERROR
    assert lab.left_over() == []
    assert lab.recorder.states() == ["created", "running", "exited"]
    assert handle.result is not None
    assert (handle.result.exit_code, handle.result.signal, handle.result.error) == (3, None, "exit code 3")


def test_a_code_of_nvflare_is_passed_on(lab: Lab) -> None:
    assert lab.launch("sh", "-c", "exit 103").wait() is JobReturnCode.CONFIG_ERROR


def test_killed_from_outside_is_no_abort_of_ours(lab: Lab) -> None:
    handle = lab.launch("sleep", "60")
    lab.client.api.kill(handle.container.id)
    assert handle.wait() is JobReturnCode.EXECUTION_ERROR
    assert lab.left_over() == []
    assert lab.recorder.states() == ["created", "running", "exited"]
    assert handle.result is not None
    assert (handle.result.exit_code, handle.result.signal, handle.result.ended_by) == (137, 9, "")


def test_out_of_memory_is_said(lab: Lab, traits: Traits) -> None:
    lab.needs("memory_limit")
    site = lab.site("python3", "-c", "bytearray(10**9)", limits={"memory": "64Mi"})
    handle = lab.launch_at(site)
    assert handle.wait() is JobReturnCode.EXECUTION_ERROR
    assert lab.left_over() == []
    assert lab.recorder.states() == ["created", "running", "exited"]
    assert handle.result is not None
    assert (handle.result.exit_code, handle.result.oom_killed) == (137, traits.tells_want_of_memory)
    assert ("out of memory" if traits.tells_want_of_memory else "signal 9") in handle.result.error


def test_removed_from_outside_is_lost_and_never_a_success(lab: Lab) -> None:
    handle = lab.launch("sleep", "60")
    assert handle.enter_states(["running"], timeout=10)
    lab.client.api.remove_container(handle.container.id, force=True)
    code = handle.wait()
    assert lab.left_over() == []
    assert lab.recorder.states()[:2] == ["created", "running"]
    assert len(lab.recorder.states()) == 3
    assert handle.result is not None
    seen_killed = (JobReturnCode.EXECUTION_ERROR, 137)
    seen_terminated = (JobReturnCode.EXECUTION_ERROR, 143)  # Podman asks a process first
    seen_gone = (JobReturnCode.INFRASTRUCTURE_ERROR, None)
    assert (code, handle.result.exit_code) in (seen_killed, seen_terminated, seen_gone)
    assert handle.result.error


@pytest.fixture
def _pauses(traits: Traits) -> None:
    if not traits.pauses:
        pytest.skip("this engine cannot pause a container")


@pytest.mark.usefixtures("_pauses")
def test_paused_and_resumed_is_seen(lab: Lab) -> None:
    lab.needs_control_groups()
    handle = lab.launch("sleep", "60")
    lab.client.api.pause(handle.container.id)
    assert handle.enter_states(["paused"], timeout=10)
    lab.client.api.unpause(handle.container.id)
    lab.recorder.wait_for_states(["created", "running", "paused", "running"])
    assert handle.terminate() is JobReturnCode.ABORTED
    assert lab.left_over() == []
    assert lab.recorder.states() == ["created", "running", "paused", "running", "exited"]


def test_a_job_shorter_than_a_glance_still_ran(lab: Lab) -> None:
    site = lab.site("true", init=False)
    for index in range(5):
        job_id = f"{lab.job_id}-{index}"
        handle = lab.launch_at(site, job_id)
        assert handle.wait() is JobReturnCode.SUCCESS
        assert handle.enter_states(["running"], timeout=0)
        lab.recorder.wait_for(EventType.JOB_COMPLETED, job_id=job_id)
        assert lab.recorder.states(job_id) == ["created", "running", "exited"]


def test_a_command_that_is_not_there_is_found_by_the_init(lab: Lab, traits: Traits) -> None:
    handle = lab.launch("no-such-command")
    assert handle.wait() is JobReturnCode.EXECUTION_ERROR
    assert lab.left_over() == []
    assert handle.result is not None
    assert handle.result.exit_code == traits.code_of_a_failed_init
    assert f"; its last output: {traits.words_of_a_failed_init}" in handle.result.error


def test_a_start_that_fails_raises_and_leaves_nothing(lab: Lab, traits: Traits) -> None:
    site = lab.site("no-such-command", init=False)
    with pytest.raises(JobStartError, match=r"no-such-command.*not found"):
        lab.launch_at(site)
    assert lab.left_over() == []
    assert lab.recorder.states() == ["created", "dead"]
    result = lab.recorder.wait_for_end()
    assert (result.return_code, result.exit_code) == (JobReturnCode.EXECUTION_ERROR, traits.code_of_a_failed_start)
    assert "no-such-command" in result.error
    assert lab.recorder.event_types.count(EventType.JOB_ABORTED) == 1


def test_a_missing_image_raises_and_leaves_nothing(lab: Lab) -> None:
    site = lab.site("true", image="no-such-image:1")
    with pytest.raises(ImageError, match="no-such-image:1"):
        lab.launch_at(site)
    assert lab.left_over() == []
    assert lab.recorder.states() == []
    assert lab.recorder.event_types.count(EventType.JOB_ABORTED) == 1


def test_a_missing_network_raises_and_leaves_nothing(lab: Lab, traits: Traits) -> None:
    site = lab.site("true", network="no-such-network")
    with pytest.raises(NetworkError, match="no-such-network"):
        lab.launch_at(site)
    assert lab.left_over() == []
    if not traits.makes_what_cannot_be_connected:
        assert lab.recorder.states() == []
        return
    assert lab.recorder.states() == ["created", "dead"]
    assert lab.recorder.wait_for_end().return_code is JobReturnCode.EXECUTION_ERROR


def test_a_name_that_is_taken_raises_and_leaves_the_owner_alone(lab: Lab) -> None:
    site = lab.site("true")
    owner = lab.client.api.create_container(IMAGE, ["sleep", "60"], name=f"site-1-{lab.job_id}")
    try:
        with pytest.raises(NameInUseError, match=owner["Id"][:12]):
            lab.launch_at(site)
        assert lab.left_over() == []
        assert lab.recorder.states() == []
        assert lab.client.api.inspect_container(owner["Id"])["State"]["Status"] == "created"
    finally:
        lab.client.api.remove_container(owner["Id"])


def test_poll_gives_the_same_answer_ten_times(lab: Lab) -> None:
    handle = lab.launch("sh", "-c", "exit 3")
    handle.wait()
    lab.close()
    assert [handle.poll() for _ in range(10)] == [JobReturnCode.EXECUTION_ERROR] * 10


def test_poll_says_unknown_while_the_job_runs(lab: Lab) -> None:
    handle = lab.launch("sleep", "60")
    assert handle.poll() is JobReturnCode.UNKNOWN
    assert handle.result is None
    handle.terminate()


def test_five_threads_may_wait(lab: Lab) -> None:
    handle = lab.launch("sh", "-c", "sleep 0.3; exit 3")
    with ThreadPoolExecutor(5) as pool:
        codes = [future.result() for future in [pool.submit(handle.wait) for _ in range(5)]]
    assert codes == [JobReturnCode.EXECUTION_ERROR] * 5


def test_terminate_is_aborted_and_says_who_asked(lab: Lab) -> None:
    handle = lab.launch_ready("exec sleep 60")
    assert handle.terminate(by="the test") is JobReturnCode.ABORTED
    assert handle.terminate() is JobReturnCode.ABORTED
    assert lab.left_over() == []
    assert handle.result is not None
    assert (handle.result.exit_code, handle.result.ended_by) == (143, "the test")
    assert lab.recorder.event_types.count(EventType.JOB_ABORTED) == 1


def test_terminate_kills_what_ignores_it(lab: Lab) -> None:
    handle = lab.launch_ready("while :; do sleep 0.1; done", before="trap '' TERM", stop_grace=1)
    assert handle.terminate() is JobReturnCode.ABORTED
    assert handle.result is not None
    assert handle.result.signal == 9


@pytest.mark.usefixtures("_pauses")
def test_terminate_of_a_paused_job_ends_it(lab: Lab) -> None:
    lab.needs_control_groups()
    handle = lab.launch("sleep", "60")
    lab.client.api.pause(handle.container.id)
    assert handle.terminate() is JobReturnCode.ABORTED
    assert lab.left_over() == []


def test_terminate_after_the_end_keeps_the_result(lab: Lab) -> None:
    handle = lab.launch("sh", "-c", "exit 3")
    handle.wait()
    assert handle.terminate() is JobReturnCode.EXECUTION_ERROR


def test_terminate_from_eight_threads_gives_one_result(lab: Lab) -> None:
    handle = lab.launch("sleep", "60")
    with ThreadPoolExecutor(8) as pool:
        codes = {future.result() for future in [pool.submit(handle.terminate) for _ in range(8)]}
    assert codes == {JobReturnCode.ABORTED}
    assert lab.left_over() == []


def test_the_whole_output_is_in_the_jobs_folder_after_the_end(lab: Lab) -> None:
    handle = lab.launch("python3", "-c", "for i in range(50000): print('line', i)")
    handle.wait()
    lab.close()
    log = next(lab.folder.glob(f"{lab.job_id}/site-1.log")).read_text().splitlines()
    assert (len(log), log[-1]) == (50000, "line 49999")
    assert handle.logs(tail=2) == "line 49998\nline 49999\n"


def test_output_can_be_read_while_the_job_runs(lab: Lab) -> None:
    handle = lab.launch("sh", "-c", "echo hello; sleep 60")
    until(lambda: handle.logs() == "hello\n")
    handle.terminate()


def test_output_can_be_followed_until_the_end(lab: Lab) -> None:
    handle = lab.launch("sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.2; done")
    assert list(handle.logs(follow=True)) == ["line 1", "line 2", "line 3"]
    assert list(handle.logs(tail=1, follow=True)) == ["line 3"]


def test_a_failure_is_explained_by_its_last_output(lab: Lab) -> None:
    handle = lab.launch("python3", "-c", "raise ValueError('bad shape')")
    assert handle.wait() is JobReturnCode.EXECUTION_ERROR
    assert handle.result is not None
    assert handle.result.error.startswith("exit code 1; its last output: Traceback")
    assert handle.result.error.endswith("ValueError: bad shape")


def test_output_is_bounded_by_the_sites_setting(lab: Lab) -> None:
    site = lab.site("python3", "-c", "for i in range(50000): print(i)", log_max_size="50Ki", log_max_files=2)
    lab.launch_at(site).wait()
    lab.close()
    log = next(lab.folder.glob(f"{lab.job_id}/site-1.log")).read_text().splitlines()
    assert log[-1] == "49999"
    assert len(log) < 5000


def test_a_job_that_runs_too_long_is_ended_with_the_reason(lab: Lab) -> None:
    handle = lab.launch("sleep", "60", run_timeout=1)
    assert handle.wait() is JobReturnCode.ABORTED
    assert lab.left_over() == []
    assert handle.result is not None
    assert handle.result.ended_by == "the site: it ran for more than 1 s ('run_timeout')"


def test_a_job_that_says_nothing_is_ended_with_the_reason(lab: Lab) -> None:
    handle = lab.launch("sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done; sleep 60", idle_timeout=1)
    assert handle.wait() is JobReturnCode.ABORTED
    assert handle.logs() == "1\n2\n3\n4\n5\n6\n"
    assert handle.result is not None
    assert handle.result.ended_by == "the site: it wrote nothing for more than 1 s ('idle_timeout')"


def test_a_job_that_fills_its_folder_is_ended_with_the_reason(lab: Lab) -> None:
    fill = "import time; open('data', 'wb').write(bytes(3 << 20)); print('filled', flush=True); time.sleep(60)"
    handle = lab.launch("python3", "-c", fill, limits={"disk": "2Mi"})
    assert handle.wait(timeout=30) is JobReturnCode.ABORTED
    assert handle.logs() == "filled\n"
    assert handle.result is not None
    assert handle.result.ended_by == "the site: its folder holds more than the 2Mi that it may ('disk')"
    assert lab.left_over() == []


def test_keep_leaves_the_ended_container(lab: Lab) -> None:
    lab.launch("true", keep=True).wait()
    assert lab.left_over() == [f"/site-1-{lab.job_id}"]


def test_the_container_is_locked_down(lab: Lab, traits: Traits) -> None:
    handle = lab.launch("sleep", "60")
    inspection = lab.client.api.inspect_container(handle.container.id)
    host = inspection["HostConfig"]
    is_rootless = as_traits(lab.client.version(), lab.client.info()).is_rootless
    assert (inspection["Config"]["User"].split(":")[0] == "0") is is_rootless
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["CapDrop"] == ["ALL"] or set(host["CapDrop"]) >= {"CHOWN", "DAC_OVERRIDE", "SETUID", "SYS_CHROOT"}
    assert (host["ReadonlyRootfs"], host["Privileged"], host["Init"]) == (True, False, True)
    assert (host["RestartPolicy"]["Name"], host["AutoRemove"]) == ("no", False)
    assert host["PidsLimit"] == 1024 or not traits.has_control_groups
    assert (list(inspection["NetworkSettings"]["Networks"]), host["PortBindings"] or {}) == ([NETWORK], {})
    assert [(m["Destination"], m["RW"]) for m in inspection["Mounts"]] == [(f"/workspace/{lab.job_id}", True)]
    handle.terminate()


def test_a_component_that_raises_or_sleeps_delays_no_waiter_and_loses_no_change(lab: Lab) -> None:
    released = threading.Event()
    site = lab.site("true", components=(Raising(), Blocking(released)))
    handle = lab.launch_at(site)
    assert handle.wait() is JobReturnCode.SUCCESS  # the listeners still hang in the first change
    assert lab.recorder.states() == []
    released.set()
    lab.recorder.wait_for(EventType.JOB_COMPLETED)
    assert lab.recorder.states() == ["created", "running", "exited"]


def test_a_container_is_made_by_the_image_s_id_whatever_becomes_of_its_name(lab: Lab, traits: Traits) -> None:
    image_id = lab.client.api.inspect_image(IMAGE)["Id"]
    handle = lab.launch("sleep", "60")
    inspection = lab.client.api.inspect_container(handle.container.id)
    assert inspection["Image"] == image_id
    assert inspection["Config"]["Image"] == image_id or not traits.shows_asked_image
    assert inspection["Config"]["Labels"]["flcore.image"] == IMAGE
    handle.terminate()


def test_an_image_of_another_digest_than_the_sites_list_says_is_refused(lab: Lab) -> None:
    name = IMAGE.partition(":")[0]
    with pytest.raises(ImageError, match="as the site's list says"):
        lab.launch("true", images=[f"{name}@sha256:{'0' * 64}"])
    assert lab.left_over() == []


def test_an_image_of_the_digest_that_the_sites_list_says_is_launched(lab: Lab) -> None:
    image_id = lab.client.api.inspect_image(IMAGE)["Id"]
    name = IMAGE.partition(":")[0]
    assert lab.launch("true", images=[f"{name}@{image_id}"]).wait() is JobReturnCode.SUCCESS
