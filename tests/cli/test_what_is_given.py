"""What is given to a command and does not go together, is missing or is read otherwise than it was meant, is told by its name."""

from pathlib import Path

import pytest

from cli import mcp
from cli.main import main
from web.agent_tools import bridge

KEY = "ck_1_000000000000_" + "a" * 43


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("export", "--format", "kantara"), "--format kantara needs --address"),
        (("export", "--format", "iso-27560"), "--format iso-27560 needs --address"),
        (("export", "--format", "contact-points"), "--format contact-points needs --purpose"),
        (("export", "--format", "log", "--address", "a@example.org"), "--address goes with --format iso-27560 and kantara only"),
        (("export", "--format", "log", "--purpose", "commercial"), "--purpose goes with --format contact-points only"),
        (("import", "c.json", "--format", "catalogue", "--report", "r.csv"), "--report does not go with --format catalogue"),
        (("import", "c.json", "--format", "catalogue", "--time-zone", "UTC"), "--time-zone does not go with --format catalogue"),
        (("import", "c.json", "--format", "catalogue", "--encoding", "utf-8"), "--encoding does not go with --format catalogue"),
        (("import", "c.csv", "--format", "contacts", "--allow-looser"), "--allow-looser does not go with --format contacts"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_named(
    command: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main((*command, "--tenant", "demo", "--data-dir", str(tmp_path))) == 2
    assert capsys.readouterr().err == f"consentry: {says}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The addresses and keys with which the tools were served."""
    found: list[tuple[str, str]] = []

    async def serve_stdio(url: str, key: str) -> None:
        found.append((url, key))

    monkeypatch.setattr(bridge, "serve_stdio", serve_stdio)
    monkeypatch.setattr(mcp, "configure_logging", lambda level: None)
    monkeypatch.delenv("CONSENTRY_KEY", raising=False)
    return found


@pytest.mark.parametrize("encoding", ["ascii", "utf-8-sig", "utf-16"])
def test_a_key_is_read_from_a_file_as_a_shell_writes_it(
    served: list[tuple[str, str]], tmp_path: Path, encoding: str
) -> None:
    file = tmp_path / "agent.key"
    file.write_bytes(f"{KEY}\r\n".encode(encoding))
    assert main(("mcp", "--url", "https://consent.example.com/", "--key-file", str(file))) == 0
    assert served == [("https://consent.example.com/mcp", KEY)]


@pytest.mark.parametrize("content", [b"", f"key: {KEY}".encode(), KEY.encode("utf-16-le"), b"\xff\xfea"])
def test_a_file_that_holds_no_key_is_said_to_hold_none(
    served: list[tuple[str, str]], tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "agent.key"
    file.write_bytes(content)
    assert main(("mcp", "--key-file", str(file))) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"consentry: the key: {file} holds no API key: the key alone")
    assert KEY not in said
    assert main(("mcp",)) == 2
    assert "give the API key in CONSENTRY_KEY or in a --key-file" in capsys.readouterr().err
    assert served == []


@pytest.mark.parametrize("url", ["https://consent.example.com/mcp", "https://consent.example.com/mcp/"])
def test_the_address_of_the_tools_over_http_is_told_to_be_the_servers(
    served: list[tuple[str, str]], url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONSENTRY_KEY", KEY)
    assert main(("mcp", "--url", url)) == 2
    said = "--url: it is the server's address, to which /mcp is added: say https://consent.example.com"
    assert capsys.readouterr().err == f"consentry: {said}\n"
    assert served == []
