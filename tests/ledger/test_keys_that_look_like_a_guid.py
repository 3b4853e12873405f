"""Keys, GUIDs and names of a catalogue do not divert one another, whoever made which of them first."""

import pytest

from domain.addresses import Channel
from domain.catalogue import PurposeType, by_key
from domain.consent import ConsentValue
from domain.events import CatalogueDraft, EventType
from domain.refusals import Refusal, RefusalCode
from ledger import catalogue
from ledger.assembly import Caller, Tenant
from ledger.check import Question, check
from ledger.choosing import one_click_opt_out
from ledger.links import MessageLink
from ledger.record import Capture, record_consent
from schema.node_ids import NodeKind, key_node_id, ref

GUID = "10000000-0000-4000-8000-000000000003"
TOPIC_GUID = "10000000-0000-4000-8000-000000000065"
ADA = "ada@example.org"


@pytest.fixture
async def with_guids(tenant: Tenant, caller: Caller) -> Tenant:
    document = {
        "purposes": [{"key": "commercial", "guid": GUID}],
        "topics": [{"key": "news", "purpose": "commercial", "guid": TOPIC_GUID}],
    }
    await catalogue.import_catalogue(tenant, caller, document)
    return tenant


async def old_purpose(tenant: Tenant, caller: Caller) -> None:
    """A purpose whose key is another's GUID, as no command makes one any more."""
    data = {
        "key": GUID, "name": "Old", "type": "TRANSACTIONAL", "unit": "root", "profiles": ["default"],
        "enforcement": dict.fromkeys(map(str, Channel), "NON_RESTRICTIVE"),
    }  # fmt: skip
    await catalogue.change(
        tenant, caller, "createPurpose", lambda _: [CatalogueDraft(EventType.PURPOSE_CREATED, data)], {}, None
    )


async def allowed(tenant: Tenant, purpose: str) -> bool:
    [answer] = await check(tenant, Question(channel=Channel.EMAIL, addresses=[ADA], purpose=purpose))
    return answer.decision.allowed


async def test_no_new_key_of_a_catalogue_looks_like_a_guid(with_guids: Tenant, caller: Caller) -> None:
    tenant = with_guids
    for making in (
        catalogue.create_purpose(
            tenant, caller, key=GUID, name="P", type=PurposeType.TRANSACTIONAL, profiles=["default"]
        ),
        catalogue.create_topic(tenant, caller, key=TOPIC_GUID, name="T", purpose="transactional"),
        catalogue.create_profile(tenant, caller, key=GUID, name="C"),
        catalogue.create_business_unit(tenant, caller, key=GUID, name="U"),
    ):
        with pytest.raises(Refusal, match="not a GUID") as refused:
            await making
        assert (refused.value.code, refused.value.path) == (RefusalCode.INVALID, ("key",))
    for section, item in (
        ("purposes", {}),
        ("topics", {"purpose": "commercial"}),
        ("profiles", {}),
        ("businessUnits", {}),
    ):
        with pytest.raises(Refusal, match="not a GUID") as refused:
            await catalogue.import_catalogue(tenant, caller, {section: [{"key": GUID.replace("3", "4"), **item}]})
        assert refused.value.path == (section, "0", "key")


async def test_a_guid_that_is_a_key_is_not_given(tenant: Tenant, caller: Caller) -> None:
    await old_purpose(tenant, caller)
    with pytest.raises(Refusal) as refused:
        await catalogue.import_catalogue(tenant, caller, {"purposes": [{"key": "commercial", "guid": GUID}]})
    assert (refused.value.code, refused.value.path) == (RefusalCode.ALREADY_EXISTS, ("purposes", "0", "guid"))
    with pytest.raises(Refusal) as refused:
        await catalogue.import_catalogue(tenant, caller, {"purposes": [{"key": "new", "guid": GUID}]})
    assert refused.value.code is RefusalCode.ALREADY_EXISTS
    # Its own may be what its key says: both name it.
    await catalogue.import_catalogue(tenant, caller, {"purposes": [{"key": GUID, "guid": GUID}]})
    assert tenant.catalogue.purpose(GUID).name == "Old"


async def test_where_an_old_key_is_anothers_guid_the_guid_is_meant(with_guids: Tenant, caller: Caller) -> None:
    tenant = with_guids
    await old_purpose(tenant, caller)
    assert tenant.catalogue.purpose(GUID).key == "commercial"
    assert tenant.catalogue.purpose(GUID.upper()).key == "commercial"
    given = Capture(channel=Channel.EMAIL, address=ADA, purpose=GUID, value=ConsentValue.OPTED_OUT)
    await record_consent(tenant, caller, given)
    assert not await allowed(tenant, "commercial")
    assert await allowed(tenant, by_key(GUID))


async def test_what_is_named_by_such_an_old_key_is_still_that(with_guids: Tenant, caller: Caller) -> None:
    tenant = with_guids
    await old_purpose(tenant, caller)
    node_id = key_node_id(tenant.id, NodeKind.PURPOSE, GUID)
    assert tenant.catalogue.purpose(ref(tenant.id, NodeKind.PURPOSE, node_id)).name == "Old"
    link = MessageLink(
        channel=Channel.EMAIL,
        address=ADA,
        profile="default",
        purpose=GUID,
        topic=None,
        message_id=None,
        made_on=tenant.ledger.clock().date(),
    )
    await one_click_opt_out(tenant, link)
    assert not await allowed(tenant, by_key(GUID))
    assert await allowed(tenant, "commercial"), "the link was of another purpose"
