"""The schema on a real ledger: a caller asks a document, and gets data and errors."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from graphql import ExecutionResult, GraphQLError, OperationDefinitionNode, parse, validate

from domain.refusals import LimitExceeded, NotYetAvailable, Refusal
from ledger.assembly import Caller, Tenant
from schema.context import RequestContext
from schema.plans.plans import Plans
from schema.refusals import Forbidden
from schema.schema import Schema, build_schema

ALL_SCOPES = ("check", "read", "read:personal", "write", "admin", "audit", "erase")


@dataclass(frozen=True)
class Answered:
    """What a document led to."""

    data: Any
    errors: list[GraphQLError]

    @property
    def cause(self) -> Exception | None:
        """What the first error came from."""
        return self.errors[0].original_error if self.errors else None


class Asker:
    """A caller of one tenant with some scopes."""

    def __init__(self, schema: Schema, tenant: Tenant, scopes: Iterable[str], application: str = "tests") -> None:
        self.schema = schema
        self.tenant = tenant
        self.caller = Caller(application, frozenset(scopes))

    def with_scopes(self, *scopes: str) -> "Asker":
        """The same caller with a key of these scopes."""
        return Asker(self.schema, self.tenant, scopes)

    async def __call__(self, document: str, **variables: Any) -> Answered:
        """Run a document: compiled where it can be, as the endpoint does."""
        context = RequestContext(self.tenant, self.caller)
        result: Any = self._compiled(document, variables, context)
        if result is None:
            result = self.schema.execute(document, variable_values=variables, context_value=context)
        if not isinstance(result, ExecutionResult):
            result = await result
        return Answered(result.data, list(result.errors or []))

    def _compiled(self, text: str, variables: dict[str, Any], context: RequestContext) -> Any:
        document = parse(text)
        if validate(self.schema._schema, document):
            return None
        operation = next(part for part in document.definitions if isinstance(part, OperationDefinitionNode))
        return _plans(self.schema).execute(document, operation, variables, context)

    async def data(self, document: str, **variables: Any) -> Any:
        """The data of a document that must not fail."""
        answered = await self(document, **variables)
        assert not answered.errors, answered.errors
        return answered.data

    async def refused(self, document: str, **variables: Any) -> Refusal:
        """The refusal that a query must meet."""
        answered = await self(document, **variables)
        assert isinstance(answered.cause, Refusal), answered
        return answered.cause

    async def over_limit(self, document: str, **variables: Any) -> LimitExceeded:
        """The limit that a document must meet."""
        answered = await self(document, **variables)
        assert isinstance(answered.cause, LimitExceeded), answered
        return answered.cause

    async def forbidden(self, document: str, **variables: Any) -> str:
        """The scope that a document must lack."""
        answered = await self(document, **variables)
        assert isinstance(answered.cause, Forbidden), answered
        return answered.cause.scope

    async def not_yet(self, document: str, **variables: Any) -> int:
        """The position that a document must wait for in vain."""
        answered = await self(document, **variables)
        assert isinstance(answered.cause, NotYetAvailable), answered
        return answered.cause.position

    async def record(self, address: str, value: str, purpose: str = "commercial", **fields: Any) -> Any:
        """Record one consent; what the payload says of it."""
        document = """mutation($input: RecordConsentInput!) { recordConsent(input: $input) {
            event { id position } position consent { value } errors { code message path } } }"""
        given = {"address": address, "value": value, "purpose": purpose, **fields}
        return (await self.data(document, input=given))["recordConsent"]


@cache
def _plans(schema: Schema) -> Plans:
    return Plans(schema._schema)


@pytest.fixture(scope="session")
def schema() -> Schema:
    return build_schema()


@pytest.fixture
def ask(schema: Schema, tenant: Tenant) -> Asker:
    return Asker(schema, tenant, ALL_SCOPES)
