"""How the operator's commands are called."""

import pytest

from flcore.cli import main


@pytest.mark.parametrize("number", ["x", "1.5", "-1", ""])
@pytest.mark.parametrize("command", [["ps"], ["logs", "job"]])
def test_what_is_no_count_is_told_in_words_for_people(
    command: list[str], number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, f"-n={number}"])

    assert ended.value.code == 2
    assert f"must be a whole number, got {number!r}" in capsys.readouterr().err
