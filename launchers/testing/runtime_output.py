"""The contract of runtimes: what a container has written, and what it uses."""

from __future__ import annotations

import pytest

from .patience import in_background
from .runtime_lab import UNKNOWN_ID, RuntimeLab

_ECHO_3 = "echo 1; echo 2; echo 3"
_LINES = b"1\n2\n3\n"


class OutputContract:
    """Of :class:`launchers.testing.runtime_contract.RuntimeContract`."""

    # --- output so far ---

    def test_the_output_holds_both_streams_whole(self, lab: RuntimeLab) -> None:
        container_id = lab.run_to_end("echo out; echo error >&2; printf end", 0, b"out\nerror\nend")
        output = b"".join(lab.runtime.logs(container_id))
        both = "logs() must give all that was written to standard output and to standard error, and nothing else"
        assert sorted(output) == sorted(b"out\nerror\nend"), both  # they are read one by one: any order will do

    @pytest.mark.parametrize(
        ("tail", "output"), [(0, b""), (1, b"3\n"), (2, b"2\n3\n"), (3, _LINES), (4, _LINES), (9, _LINES)]
    )
    def test_the_tail_of_an_output_is_its_last_lines(self, lab: RuntimeLab, tail: int, output: bytes) -> None:
        container_id = lab.run_to_end(_ECHO_3, 0, _LINES)
        assert b"".join(lab.runtime.logs(container_id, tail)) == output, f"logs() must give the last {tail} lines"

    def test_a_silent_container_has_no_output(self, lab: RuntimeLab) -> None:
        container_id = lab.create("one")
        for tail in (None, 5):
            output = b"".join(lab.runtime.logs(container_id, tail))
            assert output == b"", "logs() of what has not written anything must be empty"

    def test_what_is_not_there_has_no_output(self, lab: RuntimeLab) -> None:
        assert list(lab.runtime.logs(UNKNOWN_ID)) == [], "logs() of an unknown id must yield nothing, and not raise"

    def test_whether_a_container_has_written_since_can_be_told(self, lab: RuntimeLab) -> None:
        silent = lab.create("one")
        before = lab.runtime.last_output_time(silent)
        again = lab.runtime.last_output_time(silent)
        assert again == before, "last_output_time() must be the same as long as nothing was written"
        written = lab.runtime.last_output_time(lab.run_to_end("echo 1", 0, b"1\n"))
        assert written not in ("", before), (
            "last_output_time() must differ, and not be empty, when something was written"
        )
        assert lab.runtime.last_output_time(UNKNOWN_ID) == "", "last_output_time() of an unknown id must be empty"

    # --- output as it comes ---

    def test_an_output_can_be_followed_from_its_beginning_until_the_end(self, lab: RuntimeLab) -> None:
        container_id = lab.run("one", "sh", "-c", "echo 1; echo 2; sleep 0.3; echo 3")
        with lab.runtime.follow(container_id) as chunks:
            followed = in_background(lambda: b"".join(chunk.data for chunk in chunks))
            lab.finish(container_id, 0, _LINES)
            assert followed.result() == _LINES, "follow() must give all that is written, until the process has ended"

    @pytest.mark.parametrize(("tail", "output"), [(0, b""), (2, b"2\n3\n"), (9, _LINES)])
    def test_following_may_begin_with_the_last_lines(self, lab: RuntimeLab, tail: int, output: bytes) -> None:
        container_id = lab.run_to_end(_ECHO_3, 0, _LINES)
        with lab.runtime.follow(container_id, tail=tail) as chunks:
            followed = b"".join(chunk.data for chunk in chunks)
        assert followed == output, f"follow() must begin with the last {tail} lines"

    def test_following_can_be_resumed_at_a_position(self, lab: RuntimeLab) -> None:
        container_id = lab.run_to_end("echo 1; sleep 0.1; echo 2; sleep 0.1; echo 3", 0, _LINES)
        with lab.runtime.follow(container_id) as chunks:
            whole = list(chunks)
        positions = [chunk.position for chunk in whole]
        assert positions == sorted(positions), "positions are compared as texts: none may be less than one before it"
        with lab.runtime.follow(container_id, positions[-1]) as chunks:
            last = list(chunks)[-1]
        assert last == whole[-1], "follow() from a chunk's position must give that chunk again, or begin before it"

    def test_of_what_is_not_there_nothing_is_followed(self, lab: RuntimeLab) -> None:
        with lab.runtime.follow(UNKNOWN_ID) as chunks:
            assert list(chunks) == [], "follow() of an unknown id must end at once"

    # --- usage ---

    def test_what_a_running_container_has_used_is_known_and_only_grows(self, lab: RuntimeLab) -> None:
        container_id = lab.run("one", "sh", "-c", "while :; do :; done")
        if not lab.measures:
            assert lab.runtime.usage(container_id) is None, "usage() must be None where it cannot be measured"
            pytest.skip("this runtime cannot measure ('measures = False')")
        lab.use(container_id, 0.2, 1 << 20)
        first = lab.usage_from(container_id, 0.1)
        lab.use(container_id, 0.2, 1 << 20)
        second = lab.usage_from(container_id, first.cpu_seconds + 0.1)
        assert 0 < second.memory < 1 << 30, "usage() must give bytes of memory: a shell takes some, and not 1 GiB"

    def test_what_does_not_run_uses_nothing(self, lab: RuntimeLab) -> None:
        for one in (lab.create("one"), lab.run_to_end("exit 3", 3), UNKNOWN_ID):
            assert lab.runtime.usage(one) is None, "usage() of what does not run must be None"
