"""`consentry presets`: what the rules of jurisdictions ask for, as settings; and raising a profile to one of them."""

import argparse

from cli.options import Subparsers, add_settings, add_tenant, with_tenant
from domain.presets import NO_ADVICE, PresetKey, as_markdown
from ledger.assembly import Caller, Tenant
from ledger.catalogue import apply_preset_telling


def add(commands: Subparsers) -> None:
    """Declare the commands."""
    group = commands.add_parser("presets", help="list the presets for jurisdictions, and apply one").add_subparsers(
        required=True, metavar="WHAT"
    )
    listing = group.add_parser("list", help="what each preset sets, why, and where that stands")
    listing.set_defaults(run=_list)
    applying = group.add_parser("apply", help="raise a profile, and the purposes that it has or shares, to a preset")
    applying.add_argument("preset", type=_preset, metavar="PRESET", help=", ".join(PresetKey))
    applying.add_argument("--profile", default="default", metavar="P", help="its key, by default `default`")
    applying.add_argument(
        "--dry-run", action="store_true", help="say what it would change, old and new, and change nothing"
    )
    add_tenant(applying)
    add_settings(applying)
    applying.set_defaults(run=_apply)


def _preset(text: str) -> PresetKey:
    try:
        return PresetKey(text.upper().replace("-", "_"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"there is no such preset; there are {', '.join(PresetKey)}") from None


def _list(options: argparse.Namespace) -> int:
    del options
    print(as_markdown(), end="")
    return 0


def _apply(options: argparse.Namespace) -> int:
    async def work(tenant: Tenant) -> int:
        applied = await apply_preset_telling(
            tenant,
            Caller(None, frozenset()),
            profile=options.profile,
            preset=options.preset,
            dry_run=options.dry_run,
        )
        profile = applied.profile.key
        if not applied.changes:
            nothing = "would change" if options.dry_run else "changed"
            print(f"profile {profile} has {options.preset} already; nothing {nothing}")
            return 0
        done = "dry run, nothing is changed: would apply" if options.dry_run else "applied"
        print(f"{done} {options.preset} to profile {profile}. {NO_ADVICE}")
        for words in applied.changes:
            print(f"  {words}")
        return 0

    return with_tenant(options, work)
