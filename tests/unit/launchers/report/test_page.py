"""The page: jobs in, HTML out."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("jinja2", reason="of the extra [web]")

from flcore import JobResult, JobReturnCode
from flcore.job_launcher_spec import JobUsage
from flcore.observers.job_history import Outage
from launchers.operator.job_view import JobView
from launchers.operator.selection import NoSuchJobError
from launchers.report.findings import Findings
from launchers.report.jobs import Grouping
from launchers.report.listing import MOST_ROWS
from launchers.report.page import Page
from tests.job_views import BEGAN, FAILED, HOSTILE, SUCCEEDED, Jobs, ParsedPage, job_view, running


def report(jobs: Jobs, *job_ids: str, detailed: int = 20) -> ParsedPage:
    return ParsedPage(Page(detailed).report(Findings.of(jobs, job_ids)))


def test_a_page_without_jobs_says_so() -> None:
    assert report(Jobs()).texts("h2", class_="summary") == ["No job has run yet."]


def test_the_first_sentence_counts_the_jobs() -> None:
    page = report(Jobs([job_view("a", result=SUCCEEDED), job_view("b", result=FAILED), running("c")]))

    assert page.texts("h2", class_="summary") == ["3 jobs: 1 active, 1 succeeded, 1 failed."]


def test_the_runs_of_one_job_are_together_the_servers_first() -> None:
    views = [job_view("a", site, result=SUCCEEDED) for site in ("site-2", "site-1", "server")]

    page = report(Jobs(views))

    assert page.texts("h2", class_="summary") == ["a: succeeded after 6.0 s."]
    lines = [found["aria-label"] for found in page.attributes("svg", class_="line", role="img")]
    assert [line.partition(":")[0] for line in lines] == ["server", "site-1", "site-2"]


def test_a_line_of_time_is_said_in_words_too() -> None:
    (line,) = report(Jobs([job_view(result=SUCCEEDED)])).attributes("svg", role="img", class_="line")

    assert line["aria-label"] == "site-1: launching 0.5 s, created 0.5 s, running 5.0 s, exited"


def test_a_line_of_time_has_the_states_at_their_places() -> None:
    page = report(Jobs([job_view(result=SUCCEEDED)]))

    (bar,) = [bar for bar in page.attributes("rect", class_="running") if bar.get("height") == "70%"]
    assert (bar["x"], bar["width"]) == ("16.67%", "83.33%")


def test_an_outage_is_shaded_and_said() -> None:
    outage = Outage("site-1", BEGAN + 2, BEGAN + 4, "connection refused")

    page = report(Jobs([job_view(result=SUCCEEDED)], [outage]))

    (shade,) = page.attributes("rect", class_="outage")
    assert (shade["x"], shade["width"]) == ("33.33%", "33.33%")
    assert any("did not answer for 2.0 s: connection refused" in note for note in page.texts("p", class_="note"))


def test_where_the_time_went_is_a_table() -> None:
    page = report(Jobs([job_view("a", result=SUCCEEDED), job_view("b", result=SUCCEEDED)]))

    rows = [row for row in page.texts("tr") if row.startswith("running")]
    assert rows == ["running 10.0 s 83 % 5.0 s 5.0 s b"]


def test_a_failure_says_why_and_shows_its_error() -> None:
    page = report(Jobs([job_view("a", result=FAILED), job_view("b", result=FAILED), job_view("c", result=SUCCEEDED)]))

    assert "exit code 3 2 b" in page.texts("tr")
    assert "exit code 3: Traceback ValueError: no data" in " ".join(page.texts("div", class_="error"))


def test_who_ended_a_job_is_said() -> None:
    result = JobResult(JobReturnCode.ABORTED, 143, 15, ended_by="flcore stop")

    page = report(Jobs([job_view(result=result)]))

    assert "ABORTED (9)" in page.texts("dd")
    assert "flcore stop" in page.texts("dd")


def test_the_request_can_be_unfolded() -> None:
    page = report(Jobs([job_view(result=SUCCEEDED, request={"Image": "my-job:1"})]))

    assert any("What was asked for" in text and "my-job:1" in text for text in page.texts("details"))


def test_the_last_lines_of_a_kept_output_are_shown(tmp_path: Path) -> None:
    (tmp_path / "job-1").mkdir()
    (tmp_path / "job-1" / "site-1.log").write_text("".join(f"line {number}\n" for number in range(100)))

    (log,) = report(Jobs([job_view(result=FAILED, workspace=tmp_path)])).texts("pre", class_="log")

    assert log.startswith("line 60 ")
    assert log.endswith("line 99")


def test_the_output_of_a_failed_run_is_open_and_that_of_a_good_one_is_not() -> None:
    page = report(Jobs([job_view("good", result=SUCCEEDED), job_view("bad", result=FAILED)]))

    opened = {found["id"]: "open" in found for found in page.attributes("details") if "log" in found["id"]}
    assert opened == {"job-good-log-site-1": False, "job-bad-log-site-1": True}


def test_a_curve_has_a_drawing_and_a_table(tmp_path: Path) -> None:
    (tmp_path / "job-1").mkdir()
    (tmp_path / "job-1" / "metrics.json").write_text(
        json.dumps({"rounds": [{"round": 1, "accuracy": 0.5}, {"round": 2, "accuracy": 0.75}]})
    )

    page = report(Jobs([job_view(result=SUCCEEDED, workspace=tmp_path)]))

    (chart,) = page.attributes("div", role="img")
    assert chart["aria-label"] == "accuracy over round: accuracy from 0.5 to 0.75"
    assert page.attributes("path", class_="curve")
    assert {"1 0.5", "2 0.75"} <= set(page.texts("tr"))


def test_resources_are_cores_and_memory_over_time() -> None:
    usage = [JobUsage("job-1", "site-1", BEGAN + second, second * 0.5, 100 << 20) for second in (1, 2, 4)]

    page = report(Jobs([job_view(result=SUCCEEDED, usage=usage)]))

    charts = [found["aria-label"] for found in page.attributes("div", role="img")]
    assert charts == [
        "CPU, in cores over time: site-1 from 0.5 to 0.5",
        "Memory over time: site-1 from 100 MiB to 100 MiB",
    ]


def test_what_a_metrics_file_has_else_is_noted(tmp_path: Path) -> None:
    (tmp_path / "job-1").mkdir()
    (tmp_path / "job-1" / "metrics.json").write_text('{"a": [NaN]}')

    page = report(Jobs([job_view(result=SUCCEEDED, workspace=tmp_path)]))

    assert any("NaN is no JSON number" in note for note in page.texts("p", class_="note"))


def test_only_the_newest_have_details_and_the_page_says_so() -> None:
    page = report(Jobs([job_view(f"job-{n}", result=SUCCEEDED, began=BEGAN + n) for n in range(30)]), detailed=5)

    assert [found["id"] for found in page.attributes("section", class_="job")] == [
        f"job-job-{n}" for n in range(29, 24, -1)
    ]
    assert any("details of the newest 5" in text for text in page.texts("p"))


def test_the_table_of_all_jobs_has_an_end_and_the_page_says_so() -> None:
    page = report(Jobs([job_view(f"job-{n}", result=SUCCEEDED) for n in range(MOST_ROWS + 5)]), detailed=0)

    assert any("The newest 1,000 of 1,005" in text for text in page.texts("p"))


def test_a_job_that_was_asked_for_is_alone() -> None:
    page = report(Jobs([job_view("a", result=SUCCEEDED), job_view("b", result=SUCCEEDED)]), "a")

    assert [found["id"] for found in page.attributes("section", class_="job")] == ["job-a"]


def test_a_job_that_nobody_knows_is_an_error_that_names_it() -> None:
    with pytest.raises(NoSuchJobError, match="there is no job 'nope'"):
        report(Jobs(), "nope")


def test_what_could_not_be_found_out_is_said() -> None:
    page = report(Jobs(problems=["the engine at unix:///x does not answer"]))

    assert "the engine at unix:///x does not answer" in page.texts("li")


def test_a_page_allows_nothing_but_its_own_style() -> None:
    page = report(Jobs([job_view(result=SUCCEEDED)]))

    (policy,) = [found["content"] for found in page.attributes("meta") if "http-equiv" in found]
    (style,) = ["".join(texts) for tag, _, texts in page.elements if tag == "style"]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src 'sha256-{digest}'; script-src 'none'"
    )


def test_a_page_names_no_other_place(tmp_path: Path) -> None:
    usage = [JobUsage("job-1", "site-1", BEGAN + second, second, 1) for second in (1, 2)]
    html = Page().report(Findings.of(Jobs([job_view(result=SUCCEEDED, usage=usage)])))

    assert set(re.findall(r"https?://[^\"' ]+", html)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert not re.findall(r" (?:src|style|on\w+)=", html)


def test_hostile_texts_are_texts(tmp_path: Path) -> None:
    (tmp_path / "job-1").mkdir()
    (tmp_path / "job-1" / "site-1.log").write_text(HOSTILE)
    (tmp_path / "job-1" / "metrics.json").write_text(json.dumps({HOSTILE: [1, 2], "numbers": 1, HOSTILE + "2": 3}))
    result = JobResult(JobReturnCode.EXECUTION_ERROR, 1, error=HOSTILE, ended_by=HOSTILE)
    view = job_view(result=result, name=HOSTILE, workspace=tmp_path, request={HOSTILE: HOSTILE}, container_name=HOSTILE)

    page = report(
        Jobs(
            [view, job_view("job-2", result=result, name=HOSTILE)], [Outage("site-1", BEGAN, None, HOSTILE)], [HOSTILE]
        )
    )

    assert not page.attributes("script")
    assert not page.attributes("img")
    assert len(page.attributes("style")) == 1
    everything = "".join("".join(texts) for _, _, texts in page.elements)
    assert "\x1b" not in everything
    assert "\u202e" not in everything


# --- a page that is looked at again and again ---

_VIEWS = [
    job_view("a", result=SUCCEEDED),
    job_view("a", "site-2", result=FAILED),
    job_view("b", began=BEGAN + 5, result=SUCCEEDED),
    job_view("b", began=BEGAN + 50, result=FAILED),
    running("c"),
    job_view("c", result=SUCCEEDED),
    running("d", began=BEGAN - 9),
]
_OUTAGES = [Outage("site-1", BEGAN + 2, BEGAN + 4, "refused"), Outage("site-1", BEGAN + 70, None, "refused")]
_LOOKS = st.tuples(
    st.lists(st.sampled_from(_VIEWS), unique_by=lambda view: (view.history.job_id, view.history.site)),
    st.lists(st.sampled_from(_OUTAGES), unique=True),
    st.lists(st.just("no engine"), max_size=1),
)


@settings(deadline=None)  # it may take its time on a busy machine
@given(st.lists(_LOOKS, min_size=1, max_size=8), st.integers(0, 2))
def test_a_page_that_was_looked_at_before_shows_what_a_new_one_does(
    looks: list[tuple[list[JobView], list[Outage], list[str]]], detailed: int
) -> None:
    page, grouping = Page(detailed), Grouping()
    for number, (views, outages, problems) in enumerate(looks):
        moment = Findings.of(Jobs(views, outages, problems), grouping=grouping)
        moment = replace(moment, now=BEGAN + 100 + number)
        anew = replace(Findings.of(Jobs(views, outages, problems)), now=moment.now)
        assert page.fragments(moment) == Page(detailed).fragments(anew)


def test_of_a_page_on_which_nothing_changes_nothing_is_drawn_again() -> None:
    page, grouping, jobs = Page(1), Grouping(), Jobs([_VIEWS[0], _VIEWS[2]])

    first, second = (page.fragments(Findings.of(jobs, grouping=grouping)) for _ in range(2))

    assert [id(fragment) for fragment in second] == [id(fragment) for fragment in first]


def test_a_job_whose_runs_have_not_changed_stays_the_same_when_another_changes() -> None:
    grouping = Grouping()
    before = Findings.of(Jobs([_VIEWS[0], running("c")]), grouping=grouping).jobs

    after = Findings.of(Jobs([_VIEWS[0], running("c")]), grouping=grouping).jobs

    assert [job.job_id for job in before if any(job is other for other in after)] == ["a"]
