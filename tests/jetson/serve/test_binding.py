"""Where the server may listen: nobody beyond this machine is served without a token or --insecure."""

import os
import stat
from pathlib import Path

import pytest

from legoclf.errors import LegoclfError, UsageError
from legoclf.jetson.serve.binding import Binding, make_binding

TOKEN = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _no_token_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEGOCLF_TOKEN", raising=False)


@pytest.mark.parametrize("where", ["8000", "127.0.0.1:8000", "localhost:8000"])
def test_a_port_alone_is_this_machine(where: str) -> None:
    assert make_binding(where, None, False) == Binding("127.0.0.1", 8000, None)


@pytest.mark.parametrize("where", ["0.0.0.0:8000", "192.168.1.5:8000", "[::]:8000", "::ffff:10.0.0.1:80"])
def test_the_network_needs_a_token_or_insecure(where: str) -> None:
    with pytest.raises(UsageError, match="can be reached from the network: give --token_file"):
        make_binding(where, None, False)
    assert make_binding(where, None, True).token is None


@pytest.mark.parametrize("where", ["127.0.0.2:80", "[::1]:80"])
def test_other_addresses_of_this_machine_need_none(where: str) -> None:
    assert make_binding(where, None, False).is_loopback


def test_an_address_of_ipv6_stands_in_brackets_in_a_url() -> None:
    assert make_binding("[::1]:80", None, False).address == "[::1]:80"


@pytest.mark.parametrize(
    "where", ["", ":8000", "example.org:80", "0.0.0.0", "127.0.0.1:", "x", "127.0.0.1:-1", "::1"]
)
def test_what_is_no_address_and_port_is_refused(where: str) -> None:
    with pytest.raises(UsageError, match="expected PORT or ADDRESS:PORT|the port is no number"):
        make_binding(where, None, True)


@pytest.mark.parametrize("port", ["65536", "1e3", "²", "8000\n", "99999999999999999999"])
def test_what_is_no_port_is_refused(port: str) -> None:
    with pytest.raises(UsageError, match="the port is no number from 1 to 65535"):
        make_binding("127.0.0.1:" + port, None, True)


def test_the_token_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGOCLF_TOKEN", TOKEN)
    assert make_binding("0.0.0.0:80", None, False).token == TOKEN


def test_a_token_file_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEGOCLF_TOKEN", "x" * 20)
    (tmp_path / "token").write_text(TOKEN + "\n")
    assert make_binding("0.0.0.0:80", str(tmp_path / "token"), False).token == TOKEN


def test_a_new_token_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = make_binding("0.0.0.0:80", str(path), False).token
    assert token is not None
    assert path.read_text() == token + "\n"
    assert len(token) >= 24
    assert stat.S_IMODE(os.stat(str(path)).st_mode) == 0o600


def test_two_new_tokens_differ(tmp_path: Path) -> None:
    tokens = {make_binding("80", str(tmp_path / name), False).token for name in ("a", "b")}
    assert len(tokens) == 2


@pytest.mark.parametrize("text", ["", "short", "x" * 15])
def test_a_token_that_is_guessed_soon_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(UsageError, match="is guessed too soon; expected 16 or more"):
        make_binding("0.0.0.0:80", str(tmp_path / "token"), False)


@pytest.mark.parametrize("text", ["0123456789 abcdef", "0123456789abcdef\x01", "0123456789abcdéf"])
def test_a_token_that_no_header_can_carry_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="a token is ASCII letters, digits and signs"):
        make_binding("0.0.0.0:80", str(tmp_path / "token"), False)


def test_a_token_and_insecure_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave one of them out"):
        make_binding("0.0.0.0:80", str(tmp_path / "token"), True)


def test_a_token_file_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(LegoclfError, match="--token_file: .*nowhere"):
        make_binding("0.0.0.0:80", str(tmp_path / "nowhere" / "token"), False)


def test_a_token_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"\xff" * 40)
    with pytest.raises(LegoclfError, match="not a text file"):
        make_binding("0.0.0.0:80", str(tmp_path / "token"), False)
