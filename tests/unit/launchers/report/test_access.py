"""Who may see the live page."""

from pathlib import Path

import pytest

from flcore.errors import ConfigError
from launchers.report.access import Access, is_loopback, read_token


@pytest.mark.parametrize(
    "header", ["localhost", "localhost:8090", "127.0.0.1:8090", "[::1]:8090", "192.0.2.7", "site-host:1", "Site-Host."]
)
def test_an_address_and_a_name_of_ours_are_known(header: str) -> None:
    assert Access(names=["site-host"]).is_known_host(header)


@pytest.mark.parametrize(
    "header",
    ["", "evil.test", "evil.test:8090", "127.0.0.1.evil.test", "localhost.evil.test", "[evil.test]", "[", "0x7f.1"],
)
def test_any_other_name_is_not_known(header: str) -> None:
    assert not Access(names=["site-host"]).is_known_host(header)


def test_only_the_token_is_the_token() -> None:
    access = Access("a-token-of-some-length")

    assert access.is_token("a-token-of-some-length")
    assert not access.is_token("a-token-of-some-lengtH")
    assert not access.is_token("")
    assert not access.is_token(access.session)


def test_without_a_token_none_is_right() -> None:
    assert not Access().needs_token
    assert not Access().is_token("")


def test_a_session_is_another_in_each_process() -> None:
    first, second = Access("a-token-of-some-length"), Access("a-token-of-some-length")

    assert first.is_session(first.session)
    assert not first.is_session(second.session)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_a_loopback_address_is_for_this_host_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "site-host", "localhost.evil.test", ""])
def test_any_other_address_is_for_others_too(host: str) -> None:
    assert not is_loopback(host)


def test_a_token_is_read_without_the_space_around_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("  a-token-of-some-length\n")

    assert read_token(tmp_path / "token") == "a-token-of-some-length"


@pytest.mark.parametrize("content", ["", "short\n", "two words that are long enough", "x" * 5000, "é" * 20])
def test_a_bad_token_is_refused_with_the_way_out(tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)

    with pytest.raises(ConfigError, match="--token-file"):
        read_token(tmp_path / "token")


def test_a_missing_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing"):
        read_token(tmp_path / "missing")
