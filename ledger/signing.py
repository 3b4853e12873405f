"""The key that signs a tenant's log: made with the tenant, named in the log by an event, changed by another one."""

import secrets
from collections.abc import Mapping, Sequence

from domain.catalogue import Catalogue
from domain.consent import ActorKind
from domain.events import CatalogueDraft, EventType
from ledger.assembly import Caller, Tenant
from ledger.catalogue import change
from tlog import canonical_json
from tlog.note import SigningKey, VerifierKey, signed


async def verifier_keys(tenant: Tenant) -> list[VerifierKey]:
    """The keys that the log lists, oldest first; the last one's owner signs. A log without any is given its first."""
    catalogue = await tenant.latest_catalogue()
    if not catalogue.verifier_keys:
        await _add_key(tenant, Caller(None, frozenset()), _new_origin(tenant), rotate=False)
        catalogue = await tenant.latest_catalogue()
    return [VerifierKey.parse(text) for text in catalogue.verifier_keys]


async def rotate_signing_key(tenant: Tenant, caller: Caller) -> VerifierKey:
    """Sign with a new key from now on. What the old ones signed stays signed, and they stay listed."""
    origin = (await verifier_keys(tenant))[-1].name
    await _add_key(tenant, caller, origin, rotate=True)
    return (await verifier_keys(tenant))[-1]


async def signing_key(tenant: Tenant) -> SigningKey:
    """The key that signs now. Raises SigningKeyUnusable where its file is not there."""
    return tenant.signing_keys.load((await verifier_keys(tenant))[-1])


def sign_statement(key: SigningKey, kind: str, data: Mapping[str, object]) -> str:
    """A statement of the log, as a signed note: its kind, the origin, and what it states (see docs/proofs.md)."""
    text = f"{kind}\n{key.name}\n{canonical_json.encode(data).decode()}\n"
    return signed(text, key.sign(text))


async def _add_key(tenant: Tenant, caller: Caller, origin: str, *, rotate: bool) -> None:
    key = SigningKey.generate(origin)
    text = key.verifier.text()
    # The file first: a key that the log names must be there, one that it does not name harms nobody.
    tenant.signing_keys.add(key)

    def decide(catalogue: Catalogue) -> Sequence[CatalogueDraft]:
        if catalogue.verifier_keys and not rotate:
            return ()
        return (CatalogueDraft(EventType.SIGNING_KEY_ADDED, {"verifierKey": text}),)

    actor = ActorKind.USER if rotate else ActorKind.SYSTEM
    after, _ = await change(tenant, caller, "addSigningKey", decide, {}, None, actor=actor)
    if text not in after.verifier_keys:
        tenant.signing_keys.forget(key)


def _new_origin(tenant: Tenant) -> str:
    """The log's name, for ever. Without a host of one's own it is told apart from others of that tenant key by chance."""
    host = tenant.ledger.log_host
    return f"consentry.local/log/{tenant.key}/{secrets.token_hex(4)}" if host is None else f"{host}/log/{tenant.key}"
