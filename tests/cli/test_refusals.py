"""What is wrong is said in the words of the command line, not in the ledger's."""

import pytest

from cli.refusals import UNUSABLE, exit_code_of
from domain.refusals import Refusal, RefusalCode


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("notAcknowledgedBy", "--not-acknowledged-by: no such"),
        ("key", "the key: no such"),
        ("tenant", "--tenant: no such"),
        ("businessUnit", "--unit: no such"),
        ("encoding", "--encoding: no such"),
    ],
)
def test_options_are_named_as_they_are_given(field: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code_of(Refusal(RefusalCode.NOT_FOUND, "no such", (field,))) == UNUSABLE
    assert capsys.readouterr().err == f"consentry: {said}\n"
