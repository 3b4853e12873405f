"""Files of "Export to Excel": display names for headers, names for lookups, local times; what is not clear is refused."""

import io
from datetime import UTC, datetime

import pytest

from domain.addresses import Channel
from domain.refusals import Refusal
from ledger.assembly import Caller, Tenant
from ledger.catalogue import import_catalogue
from ledger.check import Question, check
from ledger.import_formats import Target
from ledger.import_rows import FileUnusable, Outcome, Totals
from ledger.importing import import_consents

GUID = "10000000-0000-4000-8000-000000000003"
CATALOGUE = {
    "profiles": [{"key": "brand-b", "name": "Brand B"}],
    "purposes": [
        {"key": "commercial", "guid": GUID},
        {"key": "offers", "name": "Special Offers", "type": "COMMERCIAL"},
    ],
    "topics": [
        {"key": "news", "name": "Monthly Newsletter", "purpose": "commercial"},
        {"key": "b-news", "name": "Monthly Newsletter", "purpose": "brand-b-commercial"},
    ],
}
HEADER = "Contact Point,Channel,Consent Type,Purpose,Topic,Consent Status,Source,Reason,Reason Description,Created On,Modified On"
BERLIN = Target(time_zone="Europe/Berlin")
ADA = "ada@example.org"


@pytest.fixture
async def prepared(tenant: Tenant, caller: Caller) -> Tenant:
    await import_catalogue(tenant, caller, CATALOGUE)
    return tenant


def row(
    value: str = "Opted Out", *, address: str = ADA, purpose: str = GUID, topic: str = "", at: str = "24.11.2025 15:05"
) -> str:
    level = "Topic" if topic else "Purpose"
    return f"{address},Email,{level},{purpose},{topic},{value},Preference Center,No reasons,,{at},{at}"


async def run(
    tenant: Tenant, *rows: str, header: str = HEADER, target: Target = BERLIN, format: str = "contact-point-consents"
) -> tuple[Totals, list[str]]:
    said: list[str] = []

    def report(line: int, outcome: Outcome, code: str, message: str) -> None:
        said.append(f"{outcome} {code} {message}")

    file = io.BytesIO("\n".join([header, *rows]).encode())
    totals = await import_consents(tenant, file, format=format, report=report, progress=lambda _: None, target=target)
    return totals, said


async def value_of(
    tenant: Tenant, purpose: str = "commercial", topic: str | None = None, *, profile: str = "default"
) -> tuple[str, datetime | None]:
    question = Question(channel=Channel.EMAIL, addresses=[ADA], profile=profile, purpose=purpose, topic=topic)
    [answer] = await check(tenant, question)
    [found] = [reason for reason in answer.decision.reasons if (reason.purpose, reason.topic) == (purpose, topic)]
    return str(found.value), None if found.record is None else found.record.effective_at


async def test_a_file_with_display_names_and_local_times_comes_in_once(prepared: Tenant) -> None:
    totals, said = await run(prepared, row("Opted In"))
    assert (totals.recorded, said) == (1, [])
    assert await value_of(prepared) == ("OPTED_IN", datetime(2025, 11, 24, 14, 5, tzinfo=UTC))
    again, _ = await run(prepared, row("Opted In"))
    assert (again.recorded, again.unchanged) == (0, 1)


async def test_a_file_that_was_read_in_the_wrong_zone_is_mended_by_reading_it_again(prepared: Tenant) -> None:
    await run(prepared, row("Opted In"), target=Target(time_zone="UTC"))
    totals, _ = await run(prepared, row("Opted Out", at="24.11.2025 15:30"))
    assert totals.recorded == 1
    assert (await value_of(prepared))[0] == "OPTED_IN"
    totals, said = await run(prepared, row("Opted Out", at="24.11.2025 15:30"), target=Target(time_zone="UTC"))
    assert (totals.recorded, said) == (1, [])
    assert (await value_of(prepared))[0] == "OPTED_OUT"


async def test_a_local_time_without_a_zone_is_refused_and_an_opt_out_so_refused_is_counted(prepared: Tenant) -> None:
    totals, [said] = await run(prepared, row(), target=Target())
    assert (totals.refused, totals.refused_opt_outs) == (1, 1)
    assert "modifiedon: " in said
    assert "--time-zone" in said


async def test_a_date_that_can_be_two_is_refused_until_its_order_is_said(prepared: Tenant) -> None:
    totals, [said] = await run(prepared, row(at="03/05/2025 15:05"))
    assert (totals.refused, totals.refused_opt_outs) == (1, 1)
    assert "--date-format" in said
    await run(prepared, row(at="03/05/2025 15:05"), target=Target(time_zone="Europe/Berlin", date_format="dmy"))
    assert await value_of(prepared) == ("OPTED_OUT", datetime(2025, 5, 3, 13, 5, 59, 999_999, tzinfo=UTC))


@pytest.mark.parametrize("rows", [["02:10", "02:40"], ["02:40", "02:10"]])
async def test_in_the_hour_that_a_clock_shows_twice_the_opt_out_counts(prepared: Tenant, rows: list[str]) -> None:
    opted_in, opted_out = rows
    await run(prepared, row("Opted Out", at=f"26.10.2025 {opted_out}"), row("Opted In", at=f"26.10.2025 {opted_in}"))
    assert (await value_of(prepared))[0] == "OPTED_OUT"


async def test_contacts_of_the_hour_that_a_clock_shows_twice_opt_out_as_late_and_in_as_early_as_can_be(
    prepared: Tenant,
) -> None:
    header = "(Do Not Modify) Contact,Email,Do not allow Emails,Do not allow Bulk Emails,Do Not Track,(Do Not Modify) Modified On"
    one = f"x,{ADA},Allow,Do Not Allow,Allow,10/26/2025 2:30 AM"
    totals, said = await run(prepared, one, header=header, format="contacts")
    assert (totals.recorded, totals.events, said) == (1, 4, [])
    assert await value_of(prepared) == ("OPTED_OUT", datetime(2025, 10, 26, 1, 30, 59, 999_999, tzinfo=UTC))
    assert await value_of(prepared, "transactional") == ("OPTED_IN", datetime(2025, 10, 26, 0, 30, tzinfo=UTC))
    again, _ = await run(prepared, one, header=header, format="contacts")
    assert (again.recorded, again.unchanged) == (0, 1)


async def test_leads_have_display_names_too_and_need_a_zone(prepared: Tenant) -> None:
    header = "EMAIL,Do Not Allow Emails,do not allow bulk emails,Modified On"
    one = f"{ADA},Do Not Allow,Allow,2025-11-24 15:05"
    totals, [said] = await run(prepared, one, header=header, format="leads", target=Target())
    assert totals.refused == 1
    assert "--time-zone" in said
    totals, _ = await run(prepared, one, header=header, format="leads")
    assert totals.recorded == 1
    assert (await value_of(prepared))[0] == "OPTED_OUT"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Contact Point,", "msdynmkt_contactpointvalue,"),
        ("Contact Point,", "Contact Point Value,"),
        ("Channel", "contact point  TYPE"),
        ("Consent Status", "Value"),
        ("Purpose,", "_msdynmkt_purposeid_value,"),
        ("Modified On", "(Do Not Modify) Modified On"),
        ("Modified On", "(Do Not Modify) Modified On,Modified On"),
    ],
)
async def test_a_column_may_have_either_name(prepared: Tenant, old: str, new: str) -> None:
    cells = row() + ",24.11.2025 15:05" * new.count(",Modified")
    totals, said = await run(prepared, cells, header=HEADER.replace(old, new))
    assert (totals.recorded, said) == (1, [])


@pytest.mark.parametrize("more", ["modifiedon", "Modified On", "VALUE", "msdynmkt_value", "msdynmkt_topicid"])
async def test_a_column_under_both_of_its_names_is_there_twice(prepared: Tenant, more: str) -> None:
    with pytest.raises(FileUnusable, match="twice"):
        await run(prepared, row() + ",x", header=f"{HEADER},{more}")


async def test_a_column_that_is_not_there_is_named_as_dynamics_shows_it_too(prepared: Tenant) -> None:
    with pytest.raises(FileUnusable, match=r"msdynmkt_value \(Consent status\)"):
        await run(prepared, row(), header=HEADER.replace("Consent Status", "Something"))


@pytest.mark.parametrize(
    ("purpose", "topic", "profile", "where"),
    [
        ("special OFFERS", "", None, ("default", "offers", None)),
        ("offers", "", None, ("default", "offers", None)),
        ("commercial", "", None, ("default", "commercial", None)),
        ("commercial", "monthly newsletter", None, ("default", "commercial", "news")),
        (GUID, "Monthly Newsletter", None, ("default", "commercial", "news")),
        ("Commercial", "", "default", ("default", "commercial", None)),
        ("Commercial", "", "brand-b", ("brand-b", "brand-b-commercial", None)),
        ("commercial", "", "brand-b", ("brand-b", "brand-b-commercial", None)),
        ("Commercial", "Monthly Newsletter", "brand-b", ("brand-b", "brand-b-commercial", "b-news")),
        (GUID, "", "brand-b", ("default", "commercial", None)),
    ],
)
async def test_a_lookup_is_a_guid_a_key_or_a_name(
    prepared: Tenant, purpose: str, topic: str, profile: str | None, where: tuple[str, str, str | None]
) -> None:
    target = Target(profile=profile, time_zone="Europe/Berlin")
    totals, said = await run(prepared, row(purpose=purpose, topic=topic), target=target)
    assert (totals.recorded, said) == (1, [])
    in_profile, key, topic_key = where
    assert (await value_of(prepared, key, topic_key, profile=in_profile))[0] == "OPTED_OUT"


@pytest.mark.parametrize(
    ("purpose", "topic", "profile", "says"),
    [
        ("Commercial", "", None, "INVALID msdynmkt_purposeid: there are several purposes with this name"),
        ("COMMERCIAL", "", None, "--profile"),
        ("Special Offers", "", "brand-b", "PURPOSE_OUTSIDE_PROFILE msdynmkt_purposeid: profile brand-b has no purpose"),
        ("Nothing", "", None, "NOT_FOUND msdynmkt_purposeid"),
        (GUID, "Nothing", None, "NOT_FOUND msdynmkt_topicid"),
        (GUID, "b-news", None, "TOPIC_OUTSIDE_PURPOSE msdynmkt_topicid"),
    ],
)
async def test_a_name_of_several_or_of_none_is_refused(
    prepared: Tenant, purpose: str, topic: str, profile: str | None, says: str
) -> None:
    target = Target(profile=profile, time_zone="Europe/Berlin")
    totals, [said] = await run(prepared, row(purpose=purpose, topic=topic), target=target)
    assert (totals.refused, totals.refused_opt_outs) == (1, 1)
    assert says in said


@pytest.mark.parametrize(
    ("name", "said", "ambiguous"),
    [
        ("newsletter", "newsletter", True),
        ("Newsletter", "newsletter", True),
        ("Newsletter", "Newsletter", True),
        ("Circular", "newsletter", False),
    ],
)
async def test_whoever_makes_a_key_does_not_take_over_what_was_named_so(
    tenant: Tenant, caller: Caller, name: str, said: str, ambiguous: bool
) -> None:
    older = {"purposes": [{"key": "nl", "name": name}], "profiles": [{"key": "unit-b"}]}
    await import_catalogue(tenant, caller, older)
    newer = {"purposes": [{"key": "newsletter", "name": "Else", "type": "TRANSACTIONAL", "profiles": ["unit-b"]}]}
    await import_catalogue(tenant, caller, newer)
    totals, told = await run(tenant, row(purpose=said))
    assert (totals.recorded, totals.refused, totals.refused_opt_outs) == ((0, 1, 1) if ambiguous else (1, 0, 0))
    assert not ambiguous or "GUID" in told[0]
    # A profile that has only one of them says which is meant.
    in_default = Target(profile="default", time_zone="Europe/Berlin")
    totals, told = await run(tenant, row(purpose=said), target=in_default)
    if ambiguous:
        assert (totals.recorded, told) == (1, [])
        assert (await value_of(tenant, "nl"))[0] == "OPTED_OUT"
    else:
        assert "PURPOSE_OUTSIDE_PROFILE" in told[0]


async def test_what_comes_to_be_named_as_a_key_is_not_guessed_either(tenant: Tenant, caller: Caller) -> None:
    document = {
        "purposes": [{"key": "offers", "name": "Special"}, {"key": "b", "name": "offers"}],
        "topics": [
            {"key": "week", "name": "Weekly", "purpose": "offers"},
            {"key": "w", "name": "week", "purpose": "offers"},
        ],
    }
    await import_catalogue(tenant, caller, document)
    totals, told = await run(tenant, row(purpose="offers"), row(purpose="Special", topic="week"))
    assert (totals.refused, totals.refused_opt_outs) == (2, 2)
    assert all("the key of one and the name of another" in one for one in told)


async def test_topics_of_one_purpose_with_one_name_are_told_apart_by_their_keys_alone(
    prepared: Tenant, caller: Caller
) -> None:
    more = {"topics": [{"key": "more-news", "name": "Monthly Newsletter", "purpose": "commercial"}]}
    await import_catalogue(prepared, caller, more)
    totals, [said] = await run(
        prepared, row(purpose=GUID, topic="Monthly Newsletter"), row(purpose=GUID, topic="more-news")
    )
    assert (totals.recorded, totals.refused) == (1, 1)
    assert "several topics" in said


async def test_the_same_row_for_another_profile_is_another_row(prepared: Tenant) -> None:
    for profile in ("default", "brand-b"):
        target = Target(profile=profile, time_zone="Europe/Berlin")
        totals, _ = await run(prepared, row(purpose="Commercial"), target=target)
        assert totals.recorded == 1


async def test_a_reason_is_read_with_the_apostrophe_that_dynamics_shows(prepared: Tenant) -> None:
    shown = row("Opted In").replace("No reasons", "Opt-out - Didn\N{RIGHT SINGLE QUOTATION MARK}t recall signing up")
    totals, said = await run(prepared, shown)
    assert (totals.recorded, said) == (1, [])


async def test_options_that_cannot_be_are_refused_before_the_file_is_read(prepared: Tenant) -> None:
    with pytest.raises(Refusal) as refused:
        await run(prepared, row(), target=Target(time_zone="Nowhere"))
    assert refused.value.path == ("timeZone",)
    with pytest.raises(Refusal, match="does not take a timeZone"):
        await run(prepared, "", format="ndjson")
    with pytest.raises(Refusal, match="no compliance profile"):
        await run(prepared, row(), target=Target(profile="nothing"))
