"""Documents by their identifier: registered by clients, trusted by the operator; over every transport; within bounds."""

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient, Response
from toy import asking, toy_app, toy_schema

from ledger.api_keys import create_key
from ledger.assembly import Ledger, Tenant
from web.app import create_app
from web.graphql_limits import Limits
from web.graphql_operations import OperationRefused, Operations
from web.graphql_request import GraphQLRequest, MalformedRequest, request_of_object
from web.persisted_documents import REGISTERED_BYTES_MAX, NotPersisted, PersistedDocuments
from web.trusted_documents import DocumentsInvalid, TrustedDocuments, read_documents, sha256_id

HELLO = "query ($n: String!) { hello(name: $n) }"
HEX = hashlib.sha256(HELLO.encode()).hexdigest()
ID = f"sha256:{HEX}"
APOLLO = {"persistedQuery": {"version": 1, "sha256Hash": HEX}}
VARIABLES = {"n": "Ann"}
ANSWER = {"data": {"hello": "hello Ann"}}


def code(response: Response) -> tuple[str, str]:
    (error,) = response.json()["errors"]
    return error["message"], error["extensions"]["code"]


async def post(client: AsyncClient, *, tenant: str = "a", **body: Any) -> Response:
    return await client.post("/graphql", json={"variables": VARIABLES, **body}, headers={"x-tenant": tenant})


async def get(client: AsyncClient, *, tenant: str = "a", **parameters: Any) -> Response:
    parameters = {"variables": VARIABLES, **parameters}
    text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
    return await client.get("/graphql", params=text, headers={"x-tenant": tenant})


@pytest.mark.parametrize("send", [post, get])
class TestRegistering:
    async def test_apollos_clients_are_asked_for_the_document_once(self, client: AsyncClient, send: Any) -> None:
        unknown = await send(client, extensions=APOLLO)
        assert unknown.status_code == 200
        assert code(unknown) == ("PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND")
        assert (await send(client, extensions=APOLLO, query=HELLO)).json() == ANSWER
        assert (await send(client, extensions=APOLLO)).json() == ANSWER

    async def test_the_drafts_document_id_finds_the_same(self, client: AsyncClient, send: Any) -> None:
        assert code(await send(client, documentId=ID))[1] == "PERSISTED_QUERY_NOT_FOUND"
        assert (await send(client, documentId=ID, query=HELLO)).json() == ANSWER
        assert (await send(client, documentId=ID)).json() == ANSWER
        assert (await send(client, extensions=APOLLO)).json() == ANSWER
        assert (await send(client, extensions=APOLLO, documentId=ID)).json() == ANSWER

    @pytest.mark.parametrize("known", [False, True])
    async def test_a_hash_of_something_else_is_refused_and_nothing_is_run_or_kept(
        self, client: AsyncClient, send: Any, known: bool
    ) -> None:
        if known:
            await send(client, extensions=APOLLO, query=HELLO)
        other = HELLO + " "
        for body, path in (
            ({"documentId": ID}, ["documentId"]),
            ({"extensions": APOLLO}, ["extensions", "persistedQuery", "sha256Hash"]),
        ):
            refused = await send(client, query=other, **body)
            (error,) = refused.json()["errors"]
            assert "data" not in refused.json()
            assert error["extensions"] == {"code": "BAD_USER_INPUT", "path": path}
        after = await send(client, extensions=APOLLO)
        assert after.json() == ANSWER if known else code(after)[1] == "PERSISTED_QUERY_NOT_FOUND"

    async def test_what_one_tenant_registers_is_unknown_to_others(self, client: AsyncClient, send: Any) -> None:
        await send(client, extensions=APOLLO, query=HELLO, tenant="a")
        for body in ({"extensions": APOLLO}, {"documentId": ID}):
            assert code(await send(client, tenant="b", **body))[1] == "PERSISTED_QUERY_NOT_FOUND"

    async def test_a_document_that_cannot_be_run_is_not_kept(self, client: AsyncClient, send: Any) -> None:
        wrong = "{ nothing }"
        identifier = sha256_id(wrong)
        refused = await send(client, documentId=identifier, query=wrong, variables={})
        assert code(refused)[1] == "GRAPHQL_VALIDATION_FAILED"
        assert code(await send(client, documentId=identifier))[1] == "PERSISTED_QUERY_NOT_FOUND"


async def test_a_mutation_by_its_identifier_is_still_a_post(client: AsyncClient) -> None:
    mutation = 'mutation { record(name: "x") }'
    body = {"documentId": sha256_id(mutation), "variables": {}}
    assert (await post(client, query=mutation, **body)).json() == {"data": {"record": "x"}}
    assert (await get(client, **body)).status_code == 405
    assert (await post(client, **body)).json() == {"data": {"record": "x"}}


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"documentId": 7}, ["documentId"]),
        ({"documentId": ""}, ["documentId"]),
        ({"documentId": "x" * 257}, ["documentId"]),
        ({"documentId": ID, "query": 7}, ["query"]),
        ({"documentId": None}, ["query"]),
        ({"extensions": {"persistedQuery": []}}, ["extensions", "persistedQuery"]),
        ({"extensions": {"persistedQuery": {"sha256Hash": HEX}}}, ["extensions", "persistedQuery", "version"]),
        ({"extensions": {"persistedQuery": {"version": 2, "sha256Hash": HEX}}},
         ["extensions", "persistedQuery", "version"]),
        ({"extensions": {"persistedQuery": {"version": 1}}}, ["extensions", "persistedQuery", "sha256Hash"]),
        ({"extensions": {"persistedQuery": {"version": 1, "sha256Hash": ""}}},
         ["extensions", "persistedQuery", "sha256Hash"]),
        ({"extensions": APOLLO, "documentId": "sha256:" + "0" * 64}, ["documentId"]),
    ],
)  # fmt: skip
async def test_what_is_no_identifier_is_named(client: AsyncClient, given: dict[str, Any], path: list[str]) -> None:
    response = await client.post("/graphql", json=given)
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "path": path}


MALFORMED = [
    HEX,
    HEX[1:],
    HEX + "0",
    ID[:-1],
    ID + "0",
    ID.upper(),
    "sha256:" + HEX.upper(),
    "sha256:" + "g" * 64,
    "md5:0a",
    " " + ID,
]


@pytest.mark.parametrize("send", [post, get])
@pytest.mark.parametrize("query", [None, HELLO])
@pytest.mark.parametrize("given", MALFORMED)
async def test_a_document_id_that_none_can_have_is_told_what_one_is(
    client: AsyncClient, send: Any, query: str | None, given: str
) -> None:
    refused = await send(client, documentId=given, **({} if query is None else {"query": query}))
    assert refused.json() == {
        "errors": [
            {
                "message": "documentId is sha256: and the SHA-256 of the document's text, 64 hexadecimal digits in lower case",
                "extensions": {"code": "BAD_USER_INPUT", "path": ["documentId"]},
            }
        ]
    }


@pytest.mark.parametrize("query", [None, HELLO])
@pytest.mark.parametrize("given", [HEX[1:], HEX.upper(), "a name"])
async def test_a_hash_of_apollos_that_none_can_have_is_told_what_one_is(
    client: AsyncClient, query: str | None, given: str
) -> None:
    persisted = {"version": 1, "sha256Hash": given}
    refused = await post(
        client, extensions={"persistedQuery": persisted}, **({} if query is None else {"query": query})
    )
    (error,) = refused.json()["errors"]
    assert error == {
        "message": "extensions.persistedQuery.sha256Hash is the SHA-256 of the document's text,"
        " 64 hexadecimal digits in lower case",
        "extensions": {"code": "BAD_USER_INPUT", "path": ["extensions", "persistedQuery", "sha256Hash"]},
    }


async def test_a_document_id_of_the_wrong_type_is_told_what_one_is(client: AsyncClient) -> None:
    for given in (7, "", True, [ID], {"sha256": HEX}):
        (error,) = (await client.post("/graphql", json={"documentId": given})).json()["errors"]
        assert error["message"] == (
            "documentId is a string of 1 to 256 characters:"
            " sha256: and the SHA-256 of the document's text, 64 hexadecimal digits in lower case"
        )


async def test_a_query_needs_no_identifier_and_one_of_null_is_none(client: AsyncClient) -> None:
    body = {"query": "{ hello }", "documentId": None, "extensions": {"persistedQuery": None}}
    assert (await client.post("/graphql", json=body)).json() == {"data": {"hello": "hello world"}}


def asked(query: str | None, identifier: str | None) -> GraphQLRequest:
    return GraphQLRequest(query, None, {}, {}, identifier)


class TestBounds:
    def test_a_flood_of_registrations_stays_within_its_bytes(self) -> None:
        persisted = PersistedDocuments()
        texts = [f"{{ hello }} # {number} {'ü' * 20_000}" for number in range(150)]
        for owner in range(3):
            for text in texts:
                persisted.register(asked(text, sha256_id(text)), owner)
        registered = persisted._registered
        kept = [text for held in registered._owners.values() for text in held.values()]
        assert sum(len(text.encode()) for text in kept) <= registered.bytes <= REGISTERED_BYTES_MAX
        assert registered.bytes == sum(registered._bytes_of.values())
        assert persisted.text(asked(None, sha256_id(texts[-1])), 2) == texts[-1]
        with pytest.raises(NotPersisted):
            persisted.text(asked(None, sha256_id(texts[0])), 2)

    def test_whose_documents_were_used_longest_ago_are_given_up_first(self) -> None:
        persisted = PersistedDocuments()
        persisted.register(asked(HELLO, ID), "first")
        persisted.register(asked(HELLO, ID), "second")
        for owner in range(100):
            persisted.text(asked(None, ID), "second")
            for number in range(12):
                text = f"{{ hello }} # {number} {'x' * 40_000}"
                persisted.register(asked(text, sha256_id(text)), owner)
        assert persisted.text(asked(None, ID), "second") == HELLO
        with pytest.raises(NotPersisted):
            persisted.text(asked(None, ID), "first")

    def test_one_that_floods_gives_up_its_own_first(self) -> None:
        persisted = PersistedDocuments()
        persisted.register(asked(HELLO, ID), "quiet")
        for number in range(1_000):
            text = f"{{ hello }} # {number} {'x' * 20_000}"
            persisted.register(asked(text, sha256_id(text)), "loud")
        assert persisted.text(asked(None, ID), "quiet") == HELLO

    def test_a_document_that_is_too_long_to_keep_is_run_and_not_kept(self) -> None:
        persisted = PersistedDocuments()
        long = "{ hello } #" + "x" * 70_000
        persisted.text(asked(long, sha256_id(long)), "a")
        persisted.register(asked(long, sha256_id(long)), "a")
        assert persisted._registered.bytes == 0

    def test_what_is_asked_for_by_identifier_alone_registers_nothing(self) -> None:
        persisted = PersistedDocuments()
        persisted.register(asked(None, ID), "a")
        assert persisted._registered.bytes == 0


def trusted(*texts: str, **by_id: str) -> TrustedDocuments:
    documents = {sha256_id(text): text for text in (*texts, *by_id.values())} | by_id
    return TrustedDocuments(documents, dict.fromkeys(documents.values(), "a test"))


class TestTrusted:
    @pytest.fixture
    async def guarded(self) -> AsyncIterator[AsyncClient]:
        persisted = PersistedDocuments(trusted(Hello=HELLO), only=True)
        async with asking(toy_app(persisted=persisted)) as client:
            yield client

    @pytest.mark.parametrize("send", [post, get])
    async def test_only_those_are_run_for_every_tenant_by_any_of_their_names(
        self, guarded: AsyncClient, send: Any
    ) -> None:
        for tenant in ("a", "b"):
            for body in ({"documentId": ID}, {"documentId": "Hello"}, {"extensions": APOLLO}, {"query": HELLO}):
                assert (await send(guarded, tenant=tenant, **body)).json() == ANSWER

    @pytest.mark.parametrize("send", [post, get])
    async def test_nothing_else_is_run_or_registered(self, guarded: AsyncClient, send: Any) -> None:
        other = "{ hello }"
        hash_of_other = sha256_id(other).removeprefix("sha256:")
        automatic = {"persistedQuery": {"version": 1, "sha256Hash": hash_of_other}}
        assert code(await send(guarded, query=other))[1] == "FORBIDDEN"
        assert code(await send(guarded, query=other, documentId=sha256_id(other)))[1] == "FORBIDDEN"
        assert code(await send(guarded, query=other, extensions=automatic))[1] == "FORBIDDEN"
        assert code(await send(guarded, documentId=sha256_id(other)))[1] == "PERSISTED_QUERY_NOT_FOUND"
        unknown = await send(guarded, extensions=automatic)
        assert code(unknown) == ("PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED")

    @pytest.mark.parametrize("send", [post, get])
    async def test_a_name_that_the_operator_did_not_give_is_unknown_and_what_is_no_name_is_said_to_be(
        self, guarded: AsyncClient, send: Any
    ) -> None:
        assert code(await send(guarded, documentId="hello-2"))[1] == "PERSISTED_QUERY_NOT_FOUND"
        for given in (HEX, ID[:-1], "hello 2", "sha256:Hello"):
            message, its_code = code(await send(guarded, documentId=given))
            assert its_code == "BAD_USER_INPUT"
            assert message.endswith("in lower case; or a name that this server's operator gave a document")

    async def test_what_is_not_trusted_is_not_even_parsed(self, guarded: AsyncClient) -> None:
        assert code(await post(guarded, query="{" * 100_000))[1] == "FORBIDDEN"

    async def test_beside_others_they_are_there_and_never_given_up(self) -> None:
        persisted = PersistedDocuments(trusted(HELLO))
        operations = Operations(toy_schema(), Limits(), persisted)
        first = operations.runnable(asked(None, ID), "a").document
        for number in range(300):
            operations.runnable(asked(f"{{ hello }} # {number} {'x' * 2_000}", None), "a")
        assert operations.runnable(asked(None, ID), "a").document is first
        assert operations.runnable(asked("{ hello }", None), "a").kind.value == "query"

    @pytest.mark.parametrize("text", ["{ nothing }", "{", "query A { hello } #" + "\n#" * 2_000])
    def test_one_that_cannot_be_run_is_told_at_the_start(self, text: str) -> None:
        with pytest.raises(DocumentsInvalid, match="^a test: "):
            Operations(toy_schema(), Limits(), PersistedDocuments(trusted(text)))


class TestReading:
    def test_a_folder_of_documents(self, tmp_path: Path) -> None:
        (tmp_path / "checks").mkdir()
        (tmp_path / "checks" / "one.graphql").write_text(HELLO)
        (tmp_path / "two.gql").write_text("{ hello }\n")
        (tmp_path / "README.md").write_text("not one")
        documents = read_documents(tmp_path)
        assert documents.by_id == {ID: HELLO, sha256_id("{ hello }\n"): "{ hello }\n"}
        assert documents.names[HELLO] == str(tmp_path / "checks" / "one.graphql")

    def test_a_file_by_identifier_and_apollos_manifest(self, tmp_path: Path) -> None:
        plain = {HEX: HELLO, "a1b2c3d4": "{ hello }", sha256_id("{ item { name } }"): "{ item { name } }"}
        operations = [
            {"id": identifier, "name": "N", "type": "query", "body": text} for identifier, text in plain.items()
        ]
        manifest = {"format": "apollo-persisted-query-manifest", "version": 1, "operations": operations}
        for given in (plain, manifest):
            path = tmp_path / "documents.json"
            path.write_text(json.dumps(given))
            documents = read_documents(path).by_id
            assert documents == {sha256_id(text): text for text in plain.values()} | {"a1b2c3d4": "{ hello }"}

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            ("{", "is not JSON"),
            ("[]", "a JSON object"),
            ("{}", "holds no documents"),
            ('{"a": "{ hello }", "a": "{ item }"}', "each member once"),
            ('{"a": 1}', "a document is text"),
            ('{"a b": "{ hello }"}', "an identifier is"),
            ('{"sha1:0a": "{ hello }"}', "an identifier is"),
            ('{"' + "0" * 64 + '": "{ hello }"}', "not that of the document"),
            ('{"format": "apollo-persisted-query-manifest", "version": 2, "operations": []}', "version 1"),
            (
                '{"format": "apollo-persisted-query-manifest", "version": 1, "operations": [{"id": "a"}]}',
                "an id and a body",
            ),
        ],
    )
    def test_a_file_that_is_none_is_told_by_its_name(self, tmp_path: Path, content: str, why: str) -> None:
        path = tmp_path / "documents.json"
        path.write_text(content)
        with pytest.raises(DocumentsInvalid, match=why) as refused:
            read_documents(path)
        assert str(path) in str(refused.value)

    def test_nothing_where_it_should_be(self, tmp_path: Path) -> None:
        with pytest.raises(DocumentsInvalid, match="cannot be read"):
            read_documents(tmp_path / "missing.json")
        with pytest.raises(DocumentsInvalid, match="holds no documents"):
            read_documents(tmp_path)


async def test_over_the_real_schema_a_hash_answers_its_own_tenant_alone(
    ledger: Ledger, tenant: Tenant, clocked_tenant: Tenant
) -> None:
    """A document that names an address: who knows its hash, and has a key of another tenant, learns nothing."""
    check = '{ checkConsent(input: {address: "ann@example.com", purpose: "commercial"}) { address } }'
    body = {"documentId": sha256_id(check)}
    async with asking(create_app(ledger)) as client:
        ours = {"authorization": f"Bearer {await create_key(tenant, 'shop', ['check'])}"}
        theirs = {"authorization": f"Bearer {await create_key(clocked_tenant, 'shop', ['check'])}"}
        registered = await client.post("/graphql", json={**body, "query": check}, headers=ours)
        assert registered.json() == {"data": {"checkConsent": {"address": "ann@example.com"}}}
        assert (await client.post("/graphql", json=body, headers=ours)).json() == registered.json()
        other = await client.post("/graphql", json=body, headers=theirs)
        assert code(other)[1] == "PERSISTED_QUERY_NOT_FOUND"
        assert "ann" not in other.text


def test_a_request_over_any_transport_may_leave_the_query_out() -> None:
    assert request_of_object({"documentId": ID}).document_id == ID
    with pytest.raises(MalformedRequest):
        request_of_object({})
    with pytest.raises(OperationRefused):
        Operations(toy_schema(), Limits()).runnable(request_of_object({"documentId": ID}), "a")
