"""Lines of journals, made up: of any order, also such as no site writes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

RESULT = {
    "return_code": "SUCCESS",
    "exit_code": 0,
    "signal": None,
    "oom_killed": False,
    "error": "",
    "ended_by": "",
    "started_at": 1.0,
    "finished_at": 2.0,
}
results = st.sampled_from([RESULT, {**RESULT, "return_code": "ABORTED", "exit_code": 137}])
sites, ids = st.sampled_from(["site-1", "site-2"]), st.sampled_from(["a", "b", "c"])
times = st.integers(1, 99).map(float)


def lines_of(event: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"event": st.just(event), "time": times, "site": sites, **fields})


one_line = st.one_of(
    lines_of("launching", job_id=ids, name=st.just("n"), parent=st.sampled_from(["p", "q"])),
    lines_of("launched", job_id=ids, request=st.just({"Image": "x"})),
    lines_of("recovered", job_id=ids, parent=st.sampled_from(["p", "q"])),
    lines_of(
        "state_change",
        job_id=ids,
        container_name=st.just("c"),
        container_id=st.sampled_from(["", "1", "2"]),
        state=st.sampled_from(["created", "running", "exited"]),
        result=st.none() | results,
    ),
    lines_of("completed", job_id=ids, result=results),
    lines_of("aborted", job_id=ids, result=results),
    lines_of("federated_failure", job_id=ids, status=st.just("FINISHED:ABORTED")),
    lines_of("usage", job_id=ids, cpu_seconds=times, memory=st.integers(0, 9)),
    lines_of("image_pulled", image=st.just("x"), seconds=times, error=st.just("")),
    lines_of("engine_unreachable", reason=st.just("down")),
    lines_of("engine_reachable", reason=st.just("")),
    lines_of("launching", job_id=ids),  # broken: what it lacks is an error, whoever reads it
    lines_of("state_change", job_id=ids, container_id=st.just("1")),
)
looks = st.lists(st.lists(one_line, max_size=6), max_size=8)
