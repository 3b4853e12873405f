"""The demo tenant of `make run`: made once, its key printed once."""

import asyncio
import shlex
import sys

from domain.refusals import Refusal, RefusalCode
from ledger.api_keys import SCOPES, create_key
from ledger.assembly import open_ledger
from ledger.tenants import create_tenant
from web.settings import Settings

_KEY = "demo"


def prepare(settings: Settings) -> None:
    """Make the tenant and print a key with every scope; where it is there already, say how to make a new key."""
    asyncio.run(_prepare(settings))


async def _prepare(settings: Settings) -> None:
    async with open_ledger(settings.ledger) as ledger:
        try:
            tenant = await create_tenant(ledger, _KEY, "Demo")
        except Refusal as refusal:
            if refusal.code is not RefusalCode.ALREADY_EXISTS:
                raise
            _say("The tenant `demo` is there already; its key was shown once, when it was made.")
            _say("For a new key, in a second terminal:")
            _say(f"  export CONSENTRY_KEY=$({_new_key(settings)})")
            _say(
                "For a new demo, with which everything in the present one is gone, other tenants too, stop the server and then:"
            )
            _say(f"  {_new_demo(settings)}")
            return
        secret = await create_key(tenant, "demo-app", SCOPES)
    _say("Made the tenant `demo`. Its API key, with every scope, is shown this once:")
    _say(f"  export CONSENTRY_KEY={secret}")


def _new_key(settings: Settings) -> str:
    """The command that makes one in this very database; its URL may hold a password, so that is not shown."""
    scopes = " ".join(f"--scope {scope}" for scope in SCOPES)
    where = f"--data-dir {shlex.quote(str(settings.data_dir))}"
    if settings.database_url is not None:
        where = "--database-url URL " + where
    return f".venv/bin/consentry keys create --tenant demo --application demo-app {scopes} {where}"


def _new_demo(settings: Settings) -> str:
    """What makes room for one; a database of somebody's own is not for us to say how to drop."""
    if settings.database_url is not None:
        return "serve --demo with the URL of an empty database and another --data-dir"
    return f"rm -r {shlex.quote(str(settings.data_dir.resolve()))}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
