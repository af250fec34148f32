"""StateDir: who lives, and who does not any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from flcore.disk.state_dir import StateDir


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupt_in_the_midst_of_the_opening_leaves_nobody_who_seems_to_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateDir(tmp_path)
    monkeypatch.setattr(state, "bury_the_dead", interrupt)
    with pytest.raises(KeyboardInterrupt):
        state.open()
    assert not StateDir(tmp_path).is_alive(state.parent_id)


def test_an_interrupt_in_the_midst_of_the_closing_leaves_nobody_who_seems_to_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = StateDir(tmp_path)
    state.open()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", interrupt)
        with pytest.raises(KeyboardInterrupt):
            state.close()
    assert not StateDir(tmp_path).is_alive(state.parent_id)
