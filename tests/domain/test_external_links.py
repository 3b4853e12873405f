"""Where the link of a profile may lead: its host is said by the profile alone, and it carries no password."""

import pytest

from domain import catalogue_commands as commands
from domain.refusals import Refusal, RefusalCode
from tests.semantics.given import catalogue


@pytest.mark.parametrize(
    "link",
    [
        "http://user:pw@e/", "https://user@e.example/", "https://@e.example/", "https://{{attr}}/x", "https://{{attr}}",
        "https://{{attr}}.e.example/", "https://e.example{{attr}}/x", "https://e.example:{{port}}/", "https://e.example:x/",
        "https://e.example:99999/", "https://e.example\\{{attr}}", "https://good.example\\@evil.example/",
        "https://{{a}}@e.example/?m={{messageid}}", "{{scheme}}://e.example/",
    ],
)  # fmt: skip
def test_the_host_of_an_external_link_has_neither_user_nor_placeholder(link: str) -> None:
    for command in (
        lambda: commands.create_profile(catalogue(), key="b", name="B", external_link=link),
        lambda: commands.update_profile(catalogue(), ref="default", external_link=link),
    ):
        with pytest.raises(Refusal) as refused:
            command()
        assert (refused.value.code, refused.value.path) == (RefusalCode.INVALID, ("externalLink",))
        assert "pw" not in refused.value.message


@pytest.mark.parametrize(
    "link",
    [
        "https://e.example:8443/{{purposeid}}/?m={{messageid}}&who={{attr}}@x#{{topicid}}", "http://e.example?{{attr}}",
        "https://[2001:db8::1]/", "https://bücher.example/{{attr}}",
    ],
)  # fmt: skip
def test_placeholders_stand_behind_the_host(link: str) -> None:
    made = commands.create_profile(catalogue(), key="b", name="B", external_link=link)
    assert made[-1].data["externalLink"] == link
