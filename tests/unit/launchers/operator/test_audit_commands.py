"""How ``flcore audit`` is called: its slips, its dates."""

from __future__ import annotations

import pytest

from flcore.cli import main


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as raised:
        main(["audit", *words])
    assert raised.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["verfy"], "there is no command 'verfy'; did you mean 'verify'?"),
        (["verify", "--heads", "x"], "there is no option '--heads'; did you mean '--head'?"),
        ([], "the following arguments are required: COMMAND; see: flcore audit --help"),
        (["export", "--json", "--csv"], "argument --csv: not allowed with argument --json"),
    ],
)
def test_a_slip_is_answered(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, *words).endswith(f"error: {said}")


@pytest.mark.parametrize(
    ("option", "date"),
    [("--from", "yesterday"), ("--to", "2026-02-30"), ("--to", "1.3.2026"), ("--from", ""), ("--to", "9999-12-31")],
)
def test_what_is_no_date_is_refused(option: str, date: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = f"must be a date or a time such as 2026-01-31 or 2026-01-31T18:00+01:00, got {date!r}"
    assert refused(capsys, "export", option, date).endswith(said)
