"""Which lines of a journal are parsed: with what is wanted, all that tells of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flcore.disk.journal_chain import head_of, next_line
from flcore.job_launcher_spec import JobResult, JobReturnCode
from flcore.observers.journal_sieve import ALL, LinesOfJobs, Wanted, job_ids


def written(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def line(event: str, job_id: str, **fields: Any) -> dict[str, Any]:
    return {"event": event, "time": 1.0, "site": "site-1", "job_id": job_id, **fields}


def usage(job_id: str, cpu_seconds: float) -> dict[str, Any]:
    return line("usage", job_id, cpu_seconds=cpu_seconds, memory=1)


def sifted(wanted: Wanted, *lines: dict[str, Any]) -> list[dict[str, Any]]:
    return [found for text in wanted.lines(written(*lines)) if wanted.is_met_by(found := json.loads(text))]


_lines = st.lists(st.builds(line, st.sampled_from(["launching", "usage"]), st.sampled_from(["a", "ab", "b", "é"])))


@given(_lines, st.lists(st.sampled_from(["a", "ab", "b", "c", "é", ""]), max_size=3))
def test_all_lines_of_jobs_that_begin_so_are_wanted_in_their_order(
    lines: list[dict[str, Any]], beginnings: list[str]
) -> None:
    assert sifted(Wanted(beginnings), *lines) == [
        each for each in lines if each["job_id"].startswith(tuple(beginnings))
    ]


def test_without_a_wish_all_lines_are_wanted() -> None:
    lines = [{"event": "engine_reachable"}, usage("a", 1), usage("a", 2)]
    assert sifted(ALL, *lines) == lines


def test_a_line_of_another_job_that_only_mentions_one_is_not_taken_for_one_of_it() -> None:
    mentions = line("launched", "b", request={"job_id": "a"})
    assert sifted(Wanted(["a"]), mentions, line("launching", "a")) == [line("launching", "a")]


def test_of_what_jobs_have_used_one_line_of_each_is_left_for_it_may_be_all_that_tells_of_it() -> None:
    lines = [usage("a", 1), line("launched", "a"), usage("a", 2), usage("b", 3), usage("a", 4)]
    assert sifted(Wanted(usage=False), *lines) == [lines[0], lines[1], lines[3]]


def test_a_line_whose_fields_are_in_another_order_is_taken_for_none_of_another_job() -> None:
    def swapped(job_id: str) -> dict[str, Any]:
        return {"event": "usage", "cpu_seconds": 1, "time": 1.0, "site": "site-1", "job_id": job_id, "memory": 1}

    assert sifted(Wanted(usage=False), swapped("a"), swapped("b")) == [swapped("a"), swapped("b")]


@pytest.mark.parametrize(("beginning", "ids"), [("", {"a", "ab", "b"}), ("a", {"a", "ab"}), (".", set()), ('"', set())])
def test_the_ids_that_begin_so_are_told(beginning: str, ids: set[str]) -> None:
    assert job_ids(written(*(usage(job_id, 1) for job_id in ("a", "ab", "b", "no id"))), beginning) == ids


def test_of_a_chained_line_too_it_is_told_beyond_doubt_that_a_job_is_over() -> None:
    end = line("completed", "a", result=JobResult(JobReturnCode.SUCCESS).as_dict(), id="run.4")
    lines = LinesOfJobs()
    assert list(lines.keep(next_line(json.dumps(end).encode(), head_of(b""), keeps=5)[0])) == []
    assert lines.latest() == {"a": 1.0}
