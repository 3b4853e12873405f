"""Refusals as GraphQL says them: those of mutations in their payload, the lack of a scope as an error.

What a query refuses is raised as the domain has it; `web/refusals.py` puts it into words, as it does Forbidden.
"""

import strawberry

from domain.refusals import Refusal
from schema.enums import RefusalCode


class Forbidden(Exception):
    """The key lacks the scope that a field needs."""

    def __init__(self, scope: str, *, unit: str | None = None) -> None:
        bound = "" if unit is None else ", bound to no business unit"
        super().__init__(f"this needs a key with the scope {scope}{bound}")
        self.scope = scope


@strawberry.type(description="An expected refusal: its code, a sentence, and the input that it is about.")
class UserError:
    code: RefusalCode
    message: str
    path: list[str]


def user_error(refusal: Refusal) -> UserError:
    """A refusal as a mutation's payload says it."""
    return UserError(code=refusal.code, message=refusal.message, path=list(refusal.path))
