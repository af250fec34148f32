"""The example job `digits`: its mathematics, its data, its rounds, its wire and its processes."""

import importlib
import json
import socket
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from itertools import chain, repeat
from math import inf, log, nan
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

CONFIGS = Path(__file__).parents[3] / "configs"
JOB = CONFIGS / "jobs" / "digits"
DATA = CONFIGS / "data" / "digits"
CUSTOM = JOB / "app" / "custom"
TOKEN = "a-secret-of-the-job"
SITES = ["site-1", "site-2"]


@pytest.fixture(scope="module")
def job() -> SimpleNamespace:
    """Give the job's modules by name; names like `server` stay neither in `sys.modules` nor on `sys.path`."""
    names = [path.stem for path in CUSTOM.glob("*.py")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(CUSTOM), *sys.path])
        patch.setattr(sys, "dont_write_bytecode", True)
        for name in names:
            patch.delitem(sys.modules, name, raising=False)
        modules = {name: importlib.import_module(name) for name in names}
        for name in names:
            del sys.modules[name]
    return SimpleNamespace(**modules)


@pytest.fixture(scope="module")
def shards(job: SimpleNamespace) -> dict[str, list[Any]]:
    return {name: job.job_setup.load_samples(DATA / f"{name}.csv") for name in ("heldout", *SITES)}


def weights_of(number: object) -> list[list[object]]:
    return [[number] * 65 for _ in range(10)]


# --- mathematics ---


def test_an_average_counts_each_update_as_often_as_it_has_samples(job: SimpleNamespace) -> None:
    updates = [job.softmax.Update(weights_of(1.0), 300), job.softmax.Update(weights_of(5.0), 100)]
    assert job.softmax.average(updates) == weights_of(2.0)


def test_the_average_of_one_update_is_that_update(job: SimpleNamespace) -> None:
    assert job.softmax.average([job.softmax.Update(weights_of(0.7), 3)]) == weights_of(0.7)


def test_an_untrained_model_only_guesses(job: SimpleNamespace, shards: dict[str, list[Any]]) -> None:
    assert job.softmax.loss(job.softmax.zeros(), shards["heldout"]) == pytest.approx(log(10))


def test_training_lowers_the_loss(job: SimpleNamespace, shards: dict[str, list[Any]]) -> None:
    samples, weights = shards["site-1"][:200], job.softmax.zeros()
    trained = job.softmax.train_epoch(weights, samples, 16, 0.1, Random(1))
    assert job.softmax.loss(trained, samples) < 0.8 * job.softmax.loss(weights, samples)


def test_training_twice_from_one_seed_gives_the_same_weights(
    job: SimpleNamespace, shards: dict[str, list[Any]]
) -> None:
    def train() -> object:
        return job.softmax.train_epoch(job.softmax.zeros(), shards["site-2"][:50], 16, 0.1, Random(7))

    assert train() == train()


def test_training_leaves_the_global_weights_as_they_were(job: SimpleNamespace, shards: dict[str, list[Any]]) -> None:
    weights = job.softmax.zeros()
    job.softmax.train_epoch(weights, shards["site-1"][:20], 16, 0.1, Random(1))
    assert weights == job.softmax.zeros()


# --- data ---


def digits(samples: Sequence[Any]) -> Counter[int]:
    return Counter(sample.digit for sample in samples)


def test_the_three_shards_are_the_1797_images_and_share_none(shards: dict[str, list[Any]]) -> None:
    assert len({tuple(sample.inputs) for shard in shards.values() for sample in shard}) == 1797
    assert sum(map(len, shards.values())) == 1797


def test_the_held_out_images_have_every_digit_equally_often(shards: dict[str, list[Any]]) -> None:
    assert digits(shards["heldout"]) == dict.fromkeys(range(10), 36)


@pytest.mark.parametrize(("site", "its_own"), [("site-1", range(5)), ("site-2", range(5, 10))])
def test_a_site_has_all_digits_but_mostly_its_own(shards: dict[str, list[Any]], site: str, its_own: range) -> None:
    counts = digits(shards[site])
    assert counts.keys() == set(range(10))
    assert 0.8 < sum(counts[digit] for digit in its_own) / counts.total() < 0.9


def test_inputs_are_scaled_to_one_and_end_with_the_bias(shards: dict[str, list[Any]]) -> None:
    assert all(0 <= min(inputs) <= max(inputs) == inputs[64] == 1 for inputs, _ in shards["site-1"])


def test_a_bad_line_of_data_is_named_but_not_quoted(job: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("header\nprivate,1\n")
    with pytest.raises(job.job_setup.ConfigError, match=r"bad\.csv, line 2: 64 pixels") as caught:
        job.job_setup.load_samples(path)
    assert "private" not in str(caught.value)


# --- configuration ---


def test_the_metadata_leaves_the_job_id_to_the_submission(job: SimpleNamespace) -> None:
    meta = job.job_setup.read_object(JOB / "meta.json")
    assert meta["deploy_map"] == {"app": ["server", *SITES]}
    assert "job_id" not in meta


def test_an_option_overrides_the_file(job: SimpleNamespace) -> None:
    config = server_config(job, "rounds=3", "client_timeout=0.5")
    assert (config.rounds, config.client_timeout) == (3, 0.5)


def test_an_option_for_another_program_is_ignored(job: SimpleNamespace) -> None:
    assert server_config(job, "secure_train=true") == server_config(job)


@pytest.mark.parametrize("option", ["rounds=0", "rounds=2.5", "rounds=many", "rounds", "join_timeout=1e999"])
def test_an_option_that_is_no_sensible_number_is_refused(job: SimpleNamespace, option: str) -> None:
    with pytest.raises(job.job_setup.ConfigError, match=r"option (rounds|join_timeout): a "):
        server_config(job, option)


def test_an_unknown_key_in_the_file_is_refused(job: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"rounds": 1, "join_timeout": 1, "client_timout": 1}')
    with pytest.raises(job.job_setup.ConfigError, match="missing or unknown: client_timeout, client_timout"):
        job.job_setup.load_config(job.server.Config, path, [])


@pytest.mark.parametrize("min_clients", [0, 3, True, "1", None])
def test_min_clients_must_be_possible(job: SimpleNamespace, tmp_path: Path, min_clients: object) -> None:
    path = tmp_path / "meta.json"
    path.write_text(json.dumps({"job_clients": SITES, "min_clients": min_clients}))
    with pytest.raises(job.job_setup.ConfigError, match="min_clients: 1 to 2 is needed"):
        job.server.participants(path)


def server_config(job: SimpleNamespace, *options: str) -> Any:
    path = JOB / "app" / "config" / "config_fed_server.json"
    return job.job_setup.load_config(job.server.Config, path, options)


# --- rounds ---


class Clock:
    """A clock that stands still until a test moves it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def federation(job: SimpleNamespace, clock: Clock) -> Any:
    return job.federation.Federation(SITES, min_clients=1, client_timeout=5, clock=clock)


def play(job: SimpleNamespace, federation: Any, number: int, *clients: str) -> dict[str, Any]:
    """Run a round in which these clients answer."""
    with ThreadPoolExecutor(1) as main_thread:
        updates = main_thread.submit(federation.run_round, number, job.softmax.zeros())
        for client in clients:
            assert federation.next_task(client).round == number
            assert federation.submit(client, number, job.softmax.Update(job.softmax.zeros(), 1))
        return dict(updates.result(timeout=5))


def test_the_job_starts_as_soon_as_all_clients_have_joined(federation: Any) -> None:
    with ThreadPoolExecutor(1) as main_thread:
        started = main_thread.submit(federation.wait_for_clients, 1e6)
        for site in SITES:
            federation.heartbeat(site)
        started.result(timeout=5)


def test_after_the_join_timeout_min_clients_are_enough(job: SimpleNamespace) -> None:
    federation = job.federation.Federation(SITES, min_clients=1, client_timeout=60)
    federation.heartbeat("site-2")
    federation.wait_for_clients(join_timeout=0.01)
    assert play(job, federation, 1, "site-2").keys() == {"site-2"}


def test_after_the_join_timeout_fewer_than_min_clients_end_the_job(job: SimpleNamespace) -> None:
    federation = job.federation.Federation(SITES, min_clients=2, client_timeout=60)
    federation.heartbeat("site-2")
    with pytest.raises(job.federation.TooFewClientsError, match="2 needed, alive: site-2") as caught:
        federation.wait_for_clients(join_timeout=0.01)
    assert caught.value.exit_code == 1


def test_updates_come_sorted_so_that_sums_do_not_depend_on_speed(job: SimpleNamespace, federation: Any) -> None:
    for site in SITES:
        federation.heartbeat(site)
    assert list(play(job, federation, 1, "site-2", "site-1")) == SITES


def test_a_silent_client_is_dropped_and_the_round_goes_on(
    job: SimpleNamespace, federation: Any, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    federation.heartbeat("site-2")
    clock.now = 6
    federation.heartbeat("site-1")
    assert play(job, federation, 1, "site-1").keys() == {"site-1"}
    assert "site-2 dropped: not heard from for 6.0 s\n" in capsys.readouterr().out


def test_a_dropped_client_may_rejoin(job: SimpleNamespace, federation: Any, clock: Clock) -> None:
    federation.heartbeat("site-2")
    clock.now = 6
    federation.heartbeat("site-1")
    play(job, federation, 1, "site-1")
    federation.heartbeat("site-2")
    assert play(job, federation, 2, "site-1", "site-2").keys() == set(SITES)


def test_a_round_with_fewer_than_min_clients_ends_the_job(job: SimpleNamespace, federation: Any, clock: Clock) -> None:
    federation.heartbeat("site-1")
    clock.now = 6
    with pytest.raises(job.federation.TooFewClientsError, match="1 needed, alive: none"):
        federation.run_round(1, job.softmax.zeros())


def test_a_server_that_was_paused_itself_drops_nobody(job: SimpleNamespace) -> None:
    pause_in_the_first_wait = chain(repeat(0.0, 3), repeat(100.0))
    federation = job.federation.Federation(SITES, 1, 0.01, pause_in_the_first_wait.__next__)
    federation.heartbeat("site-1")
    federation.wait_for_clients(join_timeout=0.02)


def test_a_second_answer_to_a_round_is_ignored(job: SimpleNamespace, federation: Any) -> None:
    first, second = (job.softmax.Update(weights_of(number), 1) for number in (1.0, 2.0))
    for site in SITES:
        federation.heartbeat(site)
    with ThreadPoolExecutor(1) as main_thread:
        updates = main_thread.submit(federation.run_round, 1, job.softmax.zeros())
        federation.next_task("site-1")
        answers = [("site-1", first), ("site-1", second), ("site-2", second)]
        assert [federation.submit(site, 1, update) for site, update in answers] == [True, False, True]
        assert updates.result(timeout=5) == {"site-1": first, "site-2": second}


def test_an_answer_to_an_old_round_is_ignored(job: SimpleNamespace, federation: Any) -> None:
    federation.heartbeat("site-1")
    old, new = (job.softmax.Update(weights_of(number), 1) for number in (1.0, 2.0))
    with ThreadPoolExecutor(1) as main_thread:
        updates = main_thread.submit(federation.run_round, 2, job.softmax.zeros())
        federation.next_task("site-1")
        assert not federation.submit("site-1", 1, old)
        assert federation.submit("site-1", 2, new)
        assert updates.result(timeout=5) == {"site-1": new}


def test_an_answer_that_comes_after_its_round_is_ignored(job: SimpleNamespace, federation: Any) -> None:
    federation.heartbeat("site-1")
    play(job, federation, 1, "site-1")
    assert not federation.submit("site-2", 1, job.softmax.Update(weights_of(1.0), 1))


def test_the_end_waits_until_every_living_client_knows(federation: Any) -> None:
    for site in SITES:
        federation.heartbeat(site)
    with ThreadPoolExecutor(1) as main_thread:
        finished = main_thread.submit(federation.finish)
        for site in SITES:
            assert not finished.done()
            assert federation.next_task(site).kind == "finished"
            federation.leave(site)
        finished.result(timeout=5)


# --- wire ---


@pytest.fixture
def port(job: SimpleNamespace, federation: Any) -> Iterator[int]:
    with job.http_server.serving("127.0.0.1", 0, TOKEN, federation) as port:
        yield port


def post(port: int, path: str, body: bytes, authorization: str = f"Bearer {TOKEN}") -> tuple[int, Any]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        connection.request("POST", path, body, {"Authorization": authorization})
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def test_no_request_is_answered_without_the_token(port: int) -> None:
    body = b'{"client": "site-1"}'
    for authorization in ("", "Bearer", f"Bearer {TOKEN}x", TOKEN, "Bearer \xff"):
        for path in ("/task", "/update", "/heartbeat", "/leave", "/"):
            assert post(port, path, body, authorization) == (401, {"error": "the job's token is needed"})


def test_malformed_requests_are_refused_and_the_server_goes_on(port: int) -> None:
    refusals = {
        b"[": 400,
        b"[" * 100_000: 400,
        b"\xff": 400,
        b"[]": 400,
        b"{}": 403,
        b'{"client": "site-3"}': 403,
        b'{"client": "site-1"}': 404,
        b" " * (256 * 1024 + 1): 413,
    }
    assert {body: post(port, "/nothing", body)[0] for body in refusals} == refusals
    assert post(port, "/heartbeat", b'{"client": "site-1"}') == (200, {})


def test_malformed_updates_are_refused_and_the_server_goes_on(port: int) -> None:
    good = {"client": "site-1", "round": 1, "samples": 1, "weights": weights_of(0.5)}
    numbers: list[object] = [nan, inf, -inf, 10**400, 1e7, True, "1", None, []]
    wrong: dict[str, list[object]] = {
        "round": [None, "1", 1.0, True],
        "samples": [0, -1, 1.5, True, "1", None, 10**400],
        "weights": [None, [], {}, [0] * 10, [[0] * 64] * 10, weights_of(0)[:9], *map(weights_of, numbers)],
    }
    for part, value in ((part, value) for part, values in wrong.items() for value in values):
        status, answer = post(port, "/update", json.dumps({**good, part: value}).encode())
        assert (status, answer["error"].partition(":")[0]) == (400, part)
    assert post(port, "/update", json.dumps(good).encode()) == (200, {"accepted": False})


def test_a_client_gives_up_on_a_server_that_never_answers(job: SimpleNamespace) -> None:
    link = job.http_client.ServerLink("127.0.0.1:1", TOKEN, "site-1", 0, 60)
    with pytest.raises(job.job_setup.JobError, match=r"no answer from the server at 127.0.0.1:1: .*refused"):
        link.next_task()


def test_a_client_asks_for_the_servers_address_once(
    job: SimpleNamespace, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, look_up = [], socket.getaddrinfo

    def looked_up(host: str, *how: Any) -> Any:
        asked.append(host)
        return look_up(host, *how)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    link = job.http_client.ServerLink(f"localhost:{port}", TOKEN, "site-1", 60, 60)
    for _ in range(3):
        link.heartbeat()
    assert asked == ["localhost", "127.0.0.1", "127.0.0.1"]


def test_a_client_does_not_repeat_what_the_server_refuses(job: SimpleNamespace, port: int) -> None:
    link = job.http_client.ServerLink(f"127.0.0.1:{port}", "another secret", "site-1", 60, 60)
    with pytest.raises(job.job_setup.JobError, match="the server refused /heartbeat: 401"):
        link.heartbeat()


def test_a_task_arrives_as_it_was_handed_out(job: SimpleNamespace, federation: Any, port: int) -> None:
    link = job.http_client.ServerLink(f"127.0.0.1:{port}", TOKEN, "site-1", 60, 60)
    federation.heartbeat("site-1")
    with ThreadPoolExecutor(1) as main_thread:
        updates = main_thread.submit(federation.run_round, 1, weights_of(0.1))
        assert link.next_task() == ("train", 1, weights_of(0.1))
        assert link.submit(1, job.softmax.Update(weights_of(0.3), 7))
        assert updates.result(timeout=5) == {"site-1": (weights_of(0.3), 7)}
