"""Settings come from options, then the environment, then defaults; what cannot be read is named."""

from pathlib import Path

import pytest

from web.settings import SETTINGS, SettingInvalid, read_settings


def test_defaults_need_nothing() -> None:
    settings = read_settings({}, {})
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8080, 1)
    assert settings.database_url is None
    assert settings.ledger.data_dir == settings.data_dir


def test_an_option_wins_over_its_variable_and_that_over_the_default() -> None:
    environment = {"CONSENTRY_PORT": "9000", "CONSENTRY_HOST": "::1", "CONSENTRY_WORKERS": ""}
    settings = read_settings({"port": "0", "host": None}, environment)
    assert (settings.port, settings.host, settings.workers) == (0, "::1", 1)


def test_every_setting_has_an_option_a_variable_and_a_sentence() -> None:
    fields = {setting.name for setting in SETTINGS}
    assert fields == set(read_settings({}, {}).__dataclass_fields__)
    for setting in SETTINGS:
        assert setting.option.startswith("--")
        assert setting.variable == f"CONSENTRY_{setting.name.upper()}"
        assert setting.help


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "http"),
        ("port", "-1"),
        ("port", "65536"),
        ("port", "８０"),
        ("workers", "0"),
        ("workers", "1.5"),
        ("log_level", "loud"),
        ("compiled_documents", "yes"),
        ("database_url", "mysql://x"),
        ("persisted_documents", "/nothing/here.json"),
        ("only_persisted_documents", "perhaps"),
        ("only_persisted_documents", "on"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(SettingInvalid, match="--" + name.replace("_", "-")):
        read_settings({name: text}, {})
    with pytest.raises(SettingInvalid, match="CONSENTRY_" + name.upper()):
        read_settings({}, {"CONSENTRY_" + name.upper(): text})


def test_a_database_url_is_not_shown() -> None:
    settings = read_settings({"database_url": "postgresql://joe:secret@db/x"}, {})
    assert "secret" not in repr(settings)
    assert settings.ledger.database_url == "postgresql://joe:secret@db/x"
    assert read_settings({"data_dir": "/srv/x"}, {}).data_dir == Path("/srv/x")
