"""The file that says where checkpoints go: what is wrong in it is named by its place, and its secrets are not shown."""

from pathlib import Path

import pytest

from cli.main import main
from ledger.checkpoint_targets import FileTarget, Targets, TargetsInvalid, WebhookTarget, WitnessTarget, read_targets
from tests.ledger.independent_witness import Witness
from tlog.note import SigningKey, VerifierKey
from web.settings import SettingInvalid, read_settings

KEY = Witness(()).verifier_key
LOG_KEY = SigningKey.generate("log.test").verifier.text()


def written(folder: Path, text: str) -> Path:
    path = folder / "targets.toml"
    path.write_text(text)
    return path


def test_everything_that_can_be_named(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        f"""
        [[file]]
        folder = "/srv/checkpoints"
        [[file]]
        folder = "/mnt/elsewhere"
        [[webhook]]
        url = "https://example.com/hooks/checkpoints?token=a"
        [[witness]]
        url = "https://witness.example.org/consentry/"
        key = "{KEY}"
        [publish]
        every_seconds = 86400
        """,
    )
    targets = read_targets(path)
    assert targets == Targets(
        files=(FileTarget(Path("/srv/checkpoints")), FileTarget(Path("/mnt/elsewhere"))),
        webhooks=(WebhookTarget("https://example.com/hooks/checkpoints?token=a"),),
        witnesses=(WitnessTarget("https://witness.example.org/consentry", VerifierKey.parse(KEY)),),
        every_seconds=86_400,
    )
    assert read_settings({"checkpoint_targets": str(path)}, {}).checkpoint_targets == targets
    assert read_settings({}, {"CONSENTRY_CHECKPOINT_TARGETS": str(path)}).checkpoint_targets == targets
    assert read_settings({}, {}).checkpoint_targets is None


def test_without_an_interval_it_is_ten_seconds(tmp_path: Path) -> None:
    assert read_targets(written(tmp_path, '[[file]]\nfolder = "x"')).every_seconds == 10


def test_a_name_and_a_repr_show_no_credential() -> None:
    target = WebhookTarget("https://joe:secret1@example.com:8443/hooks/secret2?token=secret3")
    assert target.name == "webhook https://example.com:8443"
    assert "secret" not in repr(target)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[file", "it is not TOML"),
        ("", "names no"),
        ('[[files]]\nfolder = "x"', "files: unknown; known are file, webhook, witness, publish"),
        ('[file]\nfolder = "x"', r"file: is written \[\[file\]\]"),
        ('file = ["x"]', r"\[\[file\]\] number 1: a table is needed"),
        ('[[file]]\nfolder = "x"\n[[file]]\nfolder = 7', r"\[\[file\]\] number 2, folder: a text is needed"),
        ('[[file]]\nfolder = ""', r"\[\[file\]\] number 1, folder: a text is needed"),
        ('[[file]]\nfolder = "a\\u0000b"', r"\[\[file\]\] number 1, folder: no folder"),
        ("[[file]]", r"\[\[file\]\] number 1, folder: a text is needed"),
        ('[[file]]\nfolder = "x"\nmode = "y"', r"\[\[file\]\] number 1, mode: unknown; known are folder"),
        ('[[webhook]]\nurl = "ftp://secret.test/"', r"\[\[webhook\]\] number 1, url: a URL like https://host/path"),
        ('[[webhook]]\nurl = "secret"', r"\[\[webhook\]\] number 1, url: a URL"),
        ('[[webhook]]\nurl = "https://"', r"\[\[webhook\]\] number 1, url: a URL"),
        ('[[webhook]]\nurl = "https://secret:99999/"', r"\[\[webhook\]\] number 1, url: a URL"),
        ('[[webhook]]\nurl = "https://[secret/"', r"\[\[webhook\]\] number 1, url: a URL"),
        ('[[webhook]]\nurl = "https://x.test/a b"', r"\[\[webhook\]\] number 1, url: a URL"),
        ('[[webhook]]\nurl = "https://x.test/#secret"', r"\[\[webhook\]\] number 1, url: a URL"),
        ('[[webhook]]\nurl = "http://x"\n[[webhook]]\nurl = "http://x"', "names a target twice"),
        ('[[witness]]\nurl = "https://w.test"', r"\[\[witness\]\] number 1, key: a text is needed"),
        ('[[witness]]\nurl = "https://w.test"\nkey = "w"', r"\[\[witness\]\] number 1, key: a key is written NAME"),
        (f'[[witness]]\nurl = "https://w.test"\nkey = "{LOG_KEY}"', "key: a witness's key is of type 4"),
        (f'[[witness]]\nurl = "https://w.test?a"\nkey = "{KEY}"', "url: a witness's URL is a prefix"),
        ('publish = 3\n[[file]]\nfolder = "x"', "publish: a table is needed"),
        ('[[file]]\nfolder = "x"\n[publish]\nevery = 3', "publish, every: unknown; known are every_seconds"),
        *(
            (f'[[file]]\nfolder = "x"\n[publish]\nevery_seconds = {value}', "publish, every_seconds: a whole number")
            for value in ("0", "86401", "1.5", "true", '"10"')
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_place(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(TargetsInvalid, match=said) as raised:
        read_targets(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "secret" not in str(raised.value)
    with pytest.raises(SettingInvalid, match="--checkpoint-targets: .*" + said):
        read_settings({"checkpoint_targets": str(path)}, {})


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(TargetsInvalid, match="No such file"):
        read_targets(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(TargetsInvalid, match="it is not UTF-8"):
        read_targets(tmp_path / "bytes.toml")


def test_a_server_does_not_start_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "[[file]]")
    assert main(["serve", "--data-dir", str(tmp_path / "data"), "--checkpoint-targets", str(path)]) == 2
    assert "[[file]] number 1, folder: a text is needed" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
