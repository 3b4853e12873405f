"""A file opts people out of what is inactive, too, and in to nothing that is: a message already sent can be unsubscribed from."""

import io

import pytest

from domain.addresses import Channel
from domain.catalogue import PurposeType
from domain.consent import ConsentValue
from domain.refusals import Refusal
from ledger import history
from ledger.assembly import Caller, Tenant
from ledger.catalogue import create_purpose, create_topic, update_purpose, update_topic
from ledger.import_formats import Target
from ledger.importing import import_consents

ADA, BOB = "ada@example.org", "bob@example.org"
LIST = f"emailaddress1\n{ADA}\n"
# Ada forbids, Bob allows.
FLAGS = f"emailaddress1,donotemail,donotbulkemail,modifiedon\n{ADA},0,1,2024-01-01T00:00:00Z\n{BOB},0,0,2024-01-01T00:00:00Z\n"
TRACKED = FLAGS.replace("donotbulkemail,", "donotbulkemail,msgdpr_donottrack,").replace(",2024", ",0,2024")


async def run(tenant: Tenant, format: str, content: str, **target: str | ConsentValue) -> list[str]:
    """The codes of what was told of rows."""
    codes: list[str] = []
    await import_consents(
        tenant,
        io.BytesIO(content.encode()),
        format=format,
        report=lambda line, outcome, code, message: codes.append(code),
        progress=lambda _: None,
        target=Target(**target),  # pyright: ignore[reportArgumentType]
    )
    return codes


async def recorded(tenant: Tenant, address: str) -> set[tuple[str, str | None, str]]:
    """Purpose, topic and value of each event of an address."""
    found = await history.find_contact_point(tenant, Channel.EMAIL, address)
    if found is None:
        return set()
    pages = await history.histories(tenant, [found.id], history.EventFilter(), first=50)
    events = [event.entry.data for _, event in pages[found.id].items]
    return {(data["purpose"], data.get("topic"), data["value"]) for data in events}


@pytest.fixture
async def offers(tenant: Tenant, caller: Caller) -> str:
    """A commercial purpose with a topic, both inactive."""
    await create_purpose(tenant, caller, key="offers", name="Offers", type=PurposeType.COMMERCIAL, profiles=["default"])
    await create_topic(tenant, caller, key="spring", name="Spring", purpose="offers")
    await update_topic(tenant, caller, ref="spring", active=False)
    await update_purpose(tenant, caller, ref="offers", active=False)
    return "offers"


@pytest.mark.parametrize("topic", [None, "spring"])
@pytest.mark.parametrize("value", [ConsentValue.OPTED_OUT, ConsentValue.NOT_SET])
async def test_members_of_a_list_leave_what_is_inactive(
    tenant: Tenant, offers: str, topic: str | None, value: ConsentValue
) -> None:
    place = {"purpose": offers, "value": value, **({} if topic is None else {"topic": topic})}
    assert await run(tenant, "subscription-list", LIST, **place) == []
    assert await recorded(tenant, ADA) == {(offers, topic, value)}


async def test_no_list_opts_in_to_what_is_inactive(tenant: Tenant, offers: str) -> None:
    with pytest.raises(Refusal, match="inactive"):
        await run(tenant, "subscription-list", LIST, purpose=offers, value=ConsentValue.OPTED_IN)


@pytest.mark.parametrize(("format", "content"), [("leads", FLAGS), ("contacts", TRACKED)])
async def test_a_load_opts_out_of_what_is_inactive_and_in_to_nothing_that_is(
    tenant: Tenant, offers: str, format: str, content: str
) -> None:
    assert await run(tenant, format, content) == []
    said = {(purpose, value) for purpose, _, value in await recorded(tenant, ADA)}
    assert {("commercial", "OPTED_OUT"), (offers, "OPTED_OUT"), ("transactional", "OPTED_IN")} <= said
    assert ("commercial", None, "OPTED_IN") in await recorded(tenant, BOB)
    assert offers not in {purpose for purpose, _, _ in await recorded(tenant, BOB)}


async def test_a_load_of_what_is_inactive_alone_refuses_who_allows(tenant: Tenant, offers: str) -> None:
    assert await run(tenant, "leads", FLAGS, purpose=offers) == ["INACTIVE"]
    assert await recorded(tenant, ADA) == {(offers, None, "OPTED_OUT")}
    assert await recorded(tenant, BOB) == set()


async def test_a_column_is_not_needed_for_what_is_inactive_alone(tenant: Tenant, caller: Caller) -> None:
    await update_purpose(tenant, caller, ref="commercial", active=False)
    content = f"emailaddress1,donotemail,modifiedon\n{ADA},1,2024-01-01T00:00:00Z\n"
    assert await run(tenant, "leads", content) == []
    assert await recorded(tenant, ADA) == {("commercial", None, "OPTED_OUT"), ("transactional", None, "OPTED_OUT")}


@pytest.mark.parametrize(
    ("bulk", "said"),
    [("1", {"OPTED_OUT"}), ("0", set[str]()), ("", set[str]())],
    ids=["forbids", "allows", "is empty"],
)
async def test_a_column_that_is_there_is_read_for_what_is_inactive_alone(
    tenant: Tenant, caller: Caller, bulk: str, said: set[str]
) -> None:
    await update_purpose(tenant, caller, ref="commercial", active=False)
    content = f"emailaddress1,donotemail,donotbulkemail,modifiedon\n{ADA},0,{bulk},2024-01-01T00:00:00Z\n"
    assert await run(tenant, "leads", content) == []
    held = await recorded(tenant, ADA)
    assert ("transactional", None, "OPTED_IN") in held
    assert {value for purpose, _, value in held if purpose == "commercial"} == said
