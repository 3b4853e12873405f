"""A file's code page: no address is taken that may be another one, and a file whose encoding is told is read so."""

import io
from datetime import UTC, datetime

import pytest

from domain.addresses import Channel
from domain.consent import ConsentValue
from domain.refusals import Refusal
from ledger.assembly import Caller, Tenant
from ledger.catalogue import import_catalogue
from ledger.check import Question, check
from ledger.file_encoding import Encoding
from ledger.import_formats import Target
from ledger.import_rows import FileUnusable, Totals
from ledger.importing import import_consents

HEADER = (
    "msdynmkt_contactpointvalue,msdynmkt_contactpointtype,msdynmkt_contactpointconsenttype,msdynmkt_purposeid,"
    "msdynmkt_topicid,msdynmkt_value,msdynmkt_reason,modifiedon\n"
)
LATE = datetime(2025, 1, 1, tzinfo=UTC)
# An address in each, and the name by which it is told.
CODE_PAGES = [
    ("łukasz.żak@x.example", "windows-1250"),
    ("пётр@x.example", "windows-1251"),
    ("jürgen@x.example", "windows-1252"),
    ("jürgen@x.example", "cp437"),
    ("νίκος@x.example", "iso-8859-7"),
    ("пётр@x.example", "koi8-r"),
    ("たろう@x.example", "shift_jis"),
    ("太郎@x.example", "gbk"),
    ("太郎@x.example", "big5"),
    ("영희@x.example", "euc-kr"),
]


def row(
    address: str, value: str = "Opted Out", *, purpose: str = "commercial", topic: str = "", reason: str = ""
) -> str:
    level = "Topic" if topic else "Purpose"
    return f"{address},Email,{level},{purpose},{topic},{value},{reason},2025-01-01T00:00:00Z\n"


async def run(
    tenant: Tenant, content: bytes, encoding: str | None = None, format: str = "contact-point-consents", **place: str
) -> tuple[Totals, list[str]]:
    """The totals, and what is said of rows."""
    said: list[str] = []
    totals = await import_consents(
        tenant,
        io.BytesIO(content),
        format=format,
        report=lambda line, outcome, code, message: said.append(f"{line} {outcome} {message}"),
        progress=lambda _: None,
        target=Target(encoding=encoding, **place),  # type: ignore[arg-type]
    )
    return totals, said


async def reasons_at(tenant: Tenant, address: str, topic: str | None = None) -> list[str]:
    question = Question(
        channel=Channel.EMAIL, addresses=[address], profile="default", purpose="commercial", topic=topic
    )
    [answer] = await check(tenant, question)
    return [str(reason.code) for reason in answer.decision.reasons]


def written(name: str, text: str) -> bytes:
    return text.encode(Encoding.of(name).codec)


@pytest.mark.parametrize(("address", "name"), CODE_PAGES)
async def test_no_opt_out_goes_to_another_address_for_a_code_page_that_was_not_told(
    tenant: Tenant, address: str, name: str
) -> None:
    content = written(name, HEADER + row(address))
    totals, [said] = await run(tenant, content)
    assert (totals.recorded, totals.refused, totals.refused_opt_outs) == (0, 1, 1)
    assert said.startswith("2 refused msdynmkt_contactpointvalue: has letters beyond ASCII")
    assert "--encoding" in said
    assert "over HTTP encoding" in said
    totals, said = await run(tenant, content, name)
    assert (totals.recorded, said) == (1, [])
    assert await reasons_at(tenant, address) == ["OPTED_OUT"]


@pytest.mark.parametrize(
    ("format", "content", "place"),
    [
        ("contacts", "emailaddress1,donotemail,donotbulkemail,msgdpr_donottrack,modifiedon\n{},1,1,1,2025-01-01T00:00:00Z\n", {}),
        ("leads", "emailaddress1,donotemail,donotbulkemail,modifiedon\n{},1,1,2025-01-01T00:00:00Z\n", {}),
        ("subscription-list", "emailaddress1\n{}\n", {"purpose": "commercial", "value": ConsentValue.OPTED_OUT}),
    ],
)  # fmt: skip
async def test_a_load_and_a_list_hold_to_it_too(
    tenant: Tenant, format: str, content: str, place: dict[str, str]
) -> None:
    file = content.format("łukasz@x.example").encode("cp1250")
    totals, _ = await run(tenant, file, format=format, **place)
    assert (totals.refused, totals.refused_opt_outs, totals.events) == (1, 1, 0)
    totals, _ = await run(tenant, file, "windows-1250", format, **place)
    assert totals.recorded == 1
    assert await reasons_at(tenant, "łukasz@x.example") == ["OPTED_OUT"]


async def test_what_a_row_says_besides_is_no_reason_to_refuse_it(tenant: Tenant) -> None:
    content = (HEADER + row("ada@x.example", reason="Zu häufig") + row("jürgen@x.example", "Opted In")).encode("cp1252")
    totals, [said] = await run(tenant, content)
    assert (totals.recorded, totals.refused, totals.refused_opt_outs) == (1, 1, 0)
    assert said.startswith("3 refused")
    assert await reasons_at(tenant, "ada@x.example") == ["OPTED_OUT"]


async def test_the_name_of_a_purpose_or_topic_is_not_taken_for_another_one(tenant: Tenant, caller: Caller) -> None:
    # As Windows-1252 the name of the one, written as Windows-1254, is that of the other.
    topics = [
        {"key": "right", "name": "Bağ", "purpose": "commercial"},
        {"key": "wrong", "name": "Bað", "purpose": "commercial"},
    ]
    await import_catalogue(tenant, caller, {"topics": topics})
    content = (HEADER + row("ada@x.example", topic="Bağ")).encode("cp1254")
    totals, [said] = await run(tenant, content)
    assert (totals.recorded, totals.refused_opt_outs) == (0, 1)
    assert "msdynmkt_topicid" in said
    totals, said = await run(tenant, content, "windows-1254")
    assert (totals.recorded, said) == (1, [])
    assert "OPTED_OUT" in await reasons_at(tenant, "ada@x.example", "right")
    assert "OPTED_OUT" not in await reasons_at(tenant, "ada@x.example", "wrong")
    totals, [said] = await run(tenant, (HEADER + row("bob@x.example", purpose="Geschäft")).encode("cp1252"))
    assert (totals.refused_opt_outs, "msdynmkt_purposeid" in said) == (1, True)


async def test_an_address_that_looks_like_utf8_in_a_file_that_mostly_does_not_is_not_taken(tenant: Tenant) -> None:
    content = written("euc-kr", HEADER + row("철@x.example") + row("영희@x.example") + row("ada@x.example"))
    assert "ö@x.example" in content.decode(errors="replace")
    totals, _ = await run(tenant, content)
    assert (totals.recorded, totals.refused_opt_outs) == (1, 2)
    assert await reasons_at(tenant, "ö@x.example") == ["NOT_SET_ALLOWED"]


async def test_an_address_in_utf8_is_not_read_as_the_code_page_that_was_told_by_mistake(tenant: Tenant) -> None:
    content = (HEADER + row("jürgen@x.example") + row("ada@x.example")).encode()
    totals, [said] = await run(tenant, content, "windows-1252")
    assert (totals.recorded, totals.refused_opt_outs) == (1, 1)
    assert "is written in UTF-8, and not in windows-1252" in said


async def test_bytes_that_the_encoding_does_not_have_spoil_their_row_alone(tenant: Tenant) -> None:
    good, bad = row("太郎@x.example").encode("cp932"), b"\x81" + row("1@x.example").encode()
    totals, [said] = await run(tenant, HEADER.encode() + bad + good, "Shift-JIS")
    assert (totals.recorded, totals.refused_opt_outs) == (1, 1)
    assert said.startswith("2 refused msdynmkt_contactpointvalue: is not shift_jis")
    assert "--encoding" not in said


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (HEADER.encode("utf-8-sig"), "utf-8"),
        (HEADER.encode("utf-16"), "UTF-16"),
        (HEADER.encode("utf-16-be"), "utf-16"),
        (HEADER.encode("utf-16-le"), "utf-16-le"),
    ],
)
async def test_unicode_is_read_as_told(tenant: Tenant, content: bytes, encoding: str) -> None:
    of_header = "utf-8" if encoding == "utf-8" else "utf-16-be" if content[:2] == b"\0m" else "utf-16-le"
    totals, said = await run(tenant, content + row("jürgen@x.example").encode(of_header), encoding)
    assert (totals.recorded, said) == (1, [])
    assert await reasons_at(tenant, "jürgen@x.example") == ["OPTED_OUT"]


@pytest.mark.parametrize(
    ("content", "encoding", "says"),
    [
        (HEADER.encode("utf-8-sig"), "windows-1252", "said to be windows-1252, and begins as UTF-8 does"),
        (HEADER.encode("utf-16"), "utf-8", "said to be utf-8, and begins as UTF-16 does"),
        (b"\xfe\xff" + HEADER.encode("utf-16-be"), "utf-16-le", "said to be utf-16-le, and begins as UTF-16 does"),
        (HEADER.encode("utf-16-le"), "shift_jis", "said to be shift_jis, and begins as UTF-16 does"),
        (HEADER.encode("utf-32"), "utf-16", "UTF-32: save it as UTF-8"),
        (HEADER.encode(), "utf-16", "said to be utf-16, and does not begin like it"),
    ],
)
async def test_a_file_that_begins_as_another_encoding_is_refused_whole(
    tenant: Tenant, content: bytes, encoding: str, says: str
) -> None:
    with pytest.raises(FileUnusable, match=says):
        await run(tenant, content, encoding)


@pytest.mark.parametrize("name", ["", "klingon", "utf-7", "rot13", "idna", "cp037", "utf-32", "utf-8\0", "é" * 1_000])
async def test_an_encoding_that_there_is_not_is_refused_by_name(tenant: Tenant, name: str) -> None:
    with pytest.raises(Refusal, match="there is no such encoding; there are utf-8, ") as refused:
        await run(tenant, b"", name)
    assert refused.value.path == ("encoding",)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("latin1", "iso-8859-1"), ("CP1252", "windows-1252"), ("sjis", "shift_jis"), ("euckr", "euc-kr"), ("utf8", "utf-8")],
)  # fmt: skip
def test_an_encoding_has_its_other_names(name: str, shown: str) -> None:
    assert Encoding.of(name).name == shown


async def test_lines_of_json_are_utf8(tenant: Tenant) -> None:
    with pytest.raises(Refusal, match="ndjson does not take an encoding: it is UTF-8"):
        await run(tenant, b"", "windows-1252", "ndjson")
