"""The statements of the log, each in a file that starts with its name and a sentence."""

from importlib.resources import files


def statement(name: str) -> str:
    """The text of a statement kept beside this module as NAME.sql."""
    return (files("eventstore.sql") / f"{name}.sql").read_text(encoding="utf-8")
