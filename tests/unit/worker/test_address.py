"""A login of files: both or none, and nothing else beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobrun_worker.address import BrokerAddress


def address(folder: Path, **given: str) -> BrokerAddress:
    (folder / "user").write_text("ann\n")
    (folder / "password").write_text("hunter2")
    (folder / "empty").write_text("\n")
    files = {name: str(folder / value) if name.endswith("_file") else value for name, value in given.items()}
    return BrokerAddress("nats://x", **files)


def test_is_read_at_each_login(tmp_path: Path) -> None:
    given = address(tmp_path, user_file="user", password_file="password")  # noqa: S106
    assert given.login() == {"user": "ann", "password": "hunter2"}
    (tmp_path / "password").write_text("hunter3\n")
    assert given.login() == {"user": "ann", "password": "hunter3"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"user_file": "user"}, "given together"),
        ({"password_file": "password"}, "given together"),
        ({"user": "ann", "password_file": "password"}, "given together"),
        ({"user": "ann", "user_file": "user", "password_file": "password"}, "instead of JOBRUN_NATS_USER"),
        ({"user_file": "user", "password_file": "empty"}, "empty is empty"),
        ({"user_file": "none", "password_file": "password"}, "none can't be read"),
    ],
)
def test_what_can_not_be_meant_is_refused(tmp_path: Path, given: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        address(tmp_path, **given).login()
