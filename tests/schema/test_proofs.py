"""Proofs over GraphQL, checked as a stranger checks them: with what the answer holds and the verifier key."""

import json
from base64 import b64decode
from typing import Any

import pytest

from tests.schema.conftest import Asker
from tlog.checkpoint import Checkpoint, open_checkpoint
from tlog.hashing import EMPTY_ROOT, leaf_hash
from tlog.note import VerifierKey, verify_note
from tlog.proof_text import parse_proof_text
from tlog.verify import verify_consistency, verify_inclusion

CHECKPOINT = "{ origin treeSize rootHash signedAt note verifierKey }"
INCLUSION = f"""query($event: ID!, $size: Long) {{ inclusionProof(eventId: $event, treeSize: $size) {{
  event {{ id entry }} leafIndex leafHash hashes text checkpoint {CHECKPOINT} }} }}"""
CONSISTENCY = (
    "query($from: Long!, $to: Long) { consistencyProof(from: $from, to: $to) { from to fromRoot toRoot hashes } }"
)
EVIDENCE = """query($address: String!, $purpose: String, $topic: String) {
  evidence(address: $address, purpose: $purpose, topic: $topic) { json eventCount checkpoint { treeSize note } } }"""


def opened(shown: Any) -> Checkpoint:
    checkpoint, _ = open_checkpoint(shown["note"], [VerifierKey.parse(shown["verifierKey"])], origin=shown["origin"])
    assert (checkpoint.size, checkpoint.root) == (shown["treeSize"], b64decode(shown["rootHash"]))
    return checkpoint


async def event_ids(ask: Asker) -> list[str]:
    return [node["id"] for node in (await ask.data("{ consentEvents { nodes { id } } }"))["consentEvents"]["nodes"]]


async def test_every_event_is_proven_in_every_size_that_holds_it(ask: Asker) -> None:
    for number in range(4):
        await ask.record(f"a{number}@example.org", "OPTED_OUT")
    ids = await event_ids(ask)
    for position, event in enumerate(ids):
        for size in range(position + 1, len(ids) + 1):
            proof = (await ask.data(INCLUSION, event=event, size=size))["inclusionProof"]
            checkpoint = opened(proof["checkpoint"])
            hashes = [b64decode(node) for node in proof["hashes"]]
            leaf = leaf_hash(b64decode(proof["event"]["entry"]))
            assert (proof["leafIndex"], b64decode(proof["leafHash"]), checkpoint.size) == (position, leaf, size)
            verify_inclusion(position, size, leaf, hashes, checkpoint.root)
            text = parse_proof_text(proof["text"])
            assert (text.index, list(text.hashes), text.checkpoint) == (position, hashes, proof["checkpoint"]["note"])


async def test_the_present_checkpoint_is_the_default(ask: Asker) -> None:
    await ask.record("ann@example.org", "OPTED_IN")
    present = (await ask.data(f"{{ checkpoint {CHECKPOINT} }}"))["checkpoint"]
    proof = (await ask.data(INCLUSION, event=(await event_ids(ask))[-1]))["inclusionProof"]
    assert proof["checkpoint"] == present
    await ask.record("ann@example.org", "OPTED_OUT")
    later = (await ask.data(CONSISTENCY, **{"from": present["treeSize"]}))["consistencyProof"]
    hashes = [b64decode(node) for node in later["hashes"]]
    assert (later["from"], later["to"]) == (present["treeSize"], present["treeSize"] + 1)
    roots = b64decode(later["fromRoot"]), b64decode(later["toRoot"])
    assert roots[0] == opened(present).root
    verify_consistency(later["from"], later["to"], hashes, *roots)
    empty = (await ask.data(CONSISTENCY, **{"from": 0, "to": 5}))["consistencyProof"]
    assert (b64decode(empty["fromRoot"]), empty["hashes"]) == (EMPTY_ROOT, [])


@pytest.mark.parametrize(
    ("variables", "code", "path", "words"),
    [
        ({"from": 5, "to": 4}, "INVALID", "from", "must not be greater"),
        ({"from": 8}, "INVALID", "from", "must not be greater than to, which is 7"),
        ({"from": 1, "to": 8}, "INVALID", "to", "from 1 to 7"),
        ({"from": 0, "to": 0}, "INVALID", "to", "from 1 to 7"),
        ({"event": "nonsense"}, "NOT_FOUND", "eventId", "no event"),
        ({"event": "@contact"}, "NOT_FOUND", "eventId", "no event"),
        ({"event": "@6", "size": 6}, "INVALID", "treeSize", "came later, at position 6"),
        ({"event": "@6", "size": 8}, "INVALID", "treeSize", "from 1 to 7"),
        ({"event": "@6", "size": 0}, "INVALID", "treeSize", "from 1 to 7"),
        ({"address": "nobody@example.org"}, "NOT_FOUND", "address", "nothing is recorded"),
        ({"address": "none"}, "INVALID_ADDRESS", "address", ""),
        ({"address": "nobody@example.org", "purpose": "nope"}, "NOT_FOUND", "address", ""),
    ],
)
async def test_what_cannot_be_proven_is_told(
    ask: Asker, variables: dict[str, Any], code: str, path: str, words: str
) -> None:
    if "event" in variables:
        ids = await event_ids(ask)
        given = variables["event"]
        if given == "@contact":
            await ask.record("ann@example.org", "OPTED_OUT")
            given = (await ask.data('{ contactPoint(address: "ann@example.org") { id } }'))["contactPoint"]["id"]
        event = ids[int(given[1:])] if given.startswith("@") else given
        refusal = await ask.refused(INCLUSION, **{**variables, "event": event})
    else:
        refusal = await ask.refused(EVIDENCE if "address" in variables else CONSISTENCY, **variables)
    assert (refusal.code, refusal.path) == (code, (path,))
    assert words in refusal.message


async def test_another_tenants_event_is_unknown(ask: Asker, schema: Any) -> None:
    from ledger.tenants import create_tenant

    foreign = Asker(schema, await create_tenant(ask.tenant.ledger, f"{ask.tenant.key}-f", "F"), ["read", "audit"])
    refusal = await ask.refused(INCLUSION, event=(await event_ids(foreign))[0])
    assert refusal.code == "NOT_FOUND"


async def test_evidence_opens_what_is_personal_only_with_the_scope_for_that(ask: Asker) -> None:
    await ask.data(
        'mutation { createTopic(input: {key: "news", name: "News", purpose: "commercial"}) { errors { code } } }'
    )
    shown = {"ipAddress": "192.0.2.7", "noticeText": "Agree?"}
    await ask.record("ann@example.org", "OPTED_IN", evidence=shown)
    await ask.record("ann@example.org", "OPTED_OUT", purpose="transactional", evidence={"ipAddress": "192.0.2.8"})
    bundle = (await ask.data(EVIDENCE, address="ANN@example.org"))["evidence"]
    assert (bundle["eventCount"], bundle["checkpoint"]["note"]) == (2, bundle["json"]["checkpoint"])
    first, second = bundle["json"]["events"]
    assert b64decode(first["openings"]["address"]["content"]) == b"ann@example.org"
    assert json.loads(b64decode(first["openings"]["evidence"]["content"])) == {"ipAddress": "192.0.2.7"}
    assert [notice["text"] for notice in bundle["json"]["notices"]] == ["Agree?"]
    auditor = ask.with_scopes("audit")
    closed = (await auditor.data(EVIDENCE, address="ann@example.org"))["evidence"]["json"]
    assert [event["openings"] for event in closed["events"]] == [{}, {}]
    assert closed["notices"] == []
    assert [event["entry"] for event in closed["events"]] == [first["entry"], second["entry"]]
    narrow = (await ask.data(EVIDENCE, address="ann@example.org", purpose="transactional"))["evidence"]["json"]
    assert narrow["asked"] == {"channel": "EMAIL", "purpose": "transactional"}
    assert [sorted(event["openings"]) for event in narrow["events"]] == [["address"], ["evidence"]]
    assert narrow["notices"] == []


async def test_a_receipt_is_a_signed_statement_of_the_decision(ask: Asker) -> None:
    await ask.record("ann@example.org", "OPTED_OUT")
    document = """query($addresses: [String!]!, $at: DateTime) {
      checkConsents(input: {addresses: $addresses, purpose: "commercial", knownAt: $at}) {
        address allowed trackingAllowed position decidedAt receipt reasons { code } } }"""
    [key] = [VerifierKey.parse(text) for text in ask.tenant.catalogue.verifier_keys]
    addresses = ["ann@example.org", "bob@example.org", "no address"]
    stated: list[dict[str, Any]] = []
    for decision in (await ask.data(document, addresses=addresses))["checkConsents"]:
        kind, origin, said = verify_note(decision["receipt"], [key]).text.splitlines()
        assert (kind, origin) == ("consentry/receipt@v1", key.name)
        assert decision["address"] not in decision["receipt"]
        data = json.loads(said)
        for name in ("allowed", "trackingAllowed", "position", "decidedAt"):
            assert data[name] == decision[name]
        assert [reason["code"] for reason in data["reasons"]] == [reason["code"] for reason in decision["reasons"]]
        assert data["catalogueVersion"] == 6
        stated.append(data)
    checkpoint = opened((await ask.data(f"{{ checkpoint {CHECKPOINT} }}"))["checkpoint"])
    assert {b64decode(data["root"]) for data in stated} == {checkpoint.root}
    assert stated[0]["contactPoint"]["events"] == 1
    assert "contactPoint" not in stated[1]
    assert len({data["question"]["digest"] for data in stated}) == 3
    before = "2026-01-01T00:00:00Z"
    [past] = (await ask.data(document, addresses=addresses[:1], at=before))["checkConsents"]
    data = json.loads(verify_note(past["receipt"], [key]).text.splitlines()[2])
    assert data["question"]["knownAt"] == data["question"]["asOf"] == "2026-01-01T00:00:00.000000Z"
    assert (data["position"], data["allowed"]) == (0, True)
