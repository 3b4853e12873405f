"""GraphQL over HTTP to the letter: what `graphql-http` audits, and what it does not."""

import json
from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient, Response
from toy import asking, toy_app

from web import graphql_response
from web.graphql_response import MediaType, _accepted, negotiate

RESPONSE = "application/graphql-response+json"


async def ask(client: AsyncClient, query: str, *, accept: str = RESPONSE, **more: object) -> Response:
    return await client.post("/graphql", json={"query": query, **more}, headers={"accept": accept})


def codes(response: Response) -> list[str]:
    return [error["extensions"]["code"] for error in response.json()["errors"]]


async def test_a_query_is_answered(client: AsyncClient) -> None:
    response = await ask(client, "query Q($n: String!) { hello(name: $n) }", variables={"n": "Ann"}, operationName="Q")
    assert response.status_code == 200
    assert response.headers["content-type"] == f"{RESPONSE}; charset=utf-8"
    assert response.json() == {"data": {"hello": "hello Ann"}}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json", "application/json"),
        (RESPONSE, RESPONSE),
        (f"{RESPONSE}, application/json", RESPONSE),
        (f"application/json, {RESPONSE}", RESPONSE),
        (f"{RESPONSE};q=0.5, application/json", "application/json"),
        (f"application/json;q=0.9, {RESPONSE}", RESPONSE),
        (f"{RESPONSE};q=0, */*", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("application/json, multipart/mixed", "application/json"),
        (f"{RESPONSE}; charset=utf-8, application/json; charset=utf-8", RESPONSE),
        ("APPLICATION/JSON", "application/json"),
        ("text/html", None),
        ("application/json;q=0", None),
        ("application/json;charset=iso-8859-1", None),
        ("application/xml;q=1, garbage", None),
    ],
)
async def test_the_answer_is_of_the_media_type_that_the_client_prefers(
    client: AsyncClient, accept: str | None, expected: str | None
) -> None:
    headers = {} if accept is None else {"accept": accept}
    response = await client.post("/graphql", json={"query": "{ __typename }"}, headers=headers)
    if expected is None:
        assert response.status_code == 406
        assert codes(response) == ["BAD_USER_INPUT"]
    else:
        assert response.status_code == 200
        assert response.headers["content-type"] == f"{expected}; charset=utf-8"


async def test_short_headers_are_remembered_and_long_ones_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def reading(accept: str) -> dict[str, float]:
        read.append(accept)
        return _accepted(accept)

    monkeypatch.setattr(graphql_response, "_accepted", reading)
    short = f"{RESPONSE}, text/never-seen-before"
    long = f"{RESPONSE}, " + ", ".join(f"a{number}/b" for number in range(1_000))
    for accept in (short, long):
        assert [negotiate(accept) for _ in range(3)] == [MediaType.GRAPHQL_RESPONSE] * 3
    assert read == [short, long, long, long]


@pytest.mark.parametrize(
    ("query", "code", "status"),
    [
        ("{", "GRAPHQL_PARSE_FAILED", 400),
        ("", "GRAPHQL_PARSE_FAILED", 400),
        ('{ hello(name: "\ud800") }', "GRAPHQL_PARSE_FAILED", 400),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED", 400),
        ("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }", "GRAPHQL_VALIDATION_FAILED", 400),
        ("query($v: Int!) { __typename }", "GRAPHQL_VALIDATION_FAILED", 400),
        ("{ hello @include(if: true) @include(if: true) }", "GRAPHQL_VALIDATION_FAILED", 400),
        ("query A { hello } query B { hello }", "BAD_USER_INPUT", 400),
        ("fragment A on Query { hello }", "GRAPHQL_VALIDATION_FAILED", 400),
    ],
)
async def test_what_cannot_be_run_is_a_request_error_with_its_code(
    client: AsyncClient, query: str, code: str, status: int
) -> None:
    body = json.dumps({"query": query})
    for accept, expected in ((RESPONSE, status), ("application/json", 200)):
        response = await client.post(
            "/graphql", content=body, headers={"accept": accept, "content-type": "application/json"}
        )
        assert response.status_code == expected
        assert codes(response)[0] == code
        assert "data" not in response.json()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", None),
        (b"NONSENSE", None),
        (b'{"query":', None),
        (b'[{"query":"{hello}"}]', None),
        (b'"{hello}"', None),
        (b"null", None),
        (b'{"query":"{hello}","query":"{hello}"}', None),
        (b'{"query":"{hello}","variables":{"a":NaN}}', None),
        (b'{"query":"{hello}","variables":{"a":1e999}}', None),
        (b'{"query":"{hello}","variables":{"a":' + b"9" * 5000 + b"}}", None),
        (b'{"query":"{hello}","variables":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
        (b'\xff\xfe{"query":"{hello}"}', None),
        (b'{"query":"\xff"}', None),
        ('\ufeff{"query":"{hello}"}'.encode(), None),
        ('{"query":"{hello}"}'.encode("utf-16"), None),
        (b"{}", ["query"]),
        (b'{"qeury":"{hello}"}', ["query"]),
        (b'{"query":null}', ["query"]),
        (b'{"query":["{hello}"]}', ["query"]),
        (b'{"query":"{hello}","operationName":1}', ["operationName"]),
        (b'{"query":"{hello}","variables":[]}', ["variables"]),
        (b'{"query":"{hello}","variables":0}', ["variables"]),
        (b'{"query":"{hello}","variables":"{}"}', ["variables"]),
        (b'{"query":"{hello}","extensions":false}', ["extensions"]),
    ],
)
async def test_a_body_that_is_no_request_is_400_and_says_what_is_wrong(
    client: AsyncClient, body: bytes, path: list[str] | None
) -> None:
    for accept in (RESPONSE, "application/json"):
        response = await client.post(
            "/graphql", content=body, headers={"accept": accept, "content-type": "application/json"}
        )
        assert response.status_code == 400
        assert codes(response) == ["BAD_USER_INPUT"]
        assert response.json()["errors"][0]["extensions"].get("path") == path


async def test_other_members_of_the_request_are_ignored(client: AsyncClient) -> None:
    response = await ask(client, "{hello}", id="7", operationName=None, variables=None, extensions={"any": 1})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json; charset=UTF-8"}, 200),
        ({"content-type": 'Application/JSON; charset="utf-8"'}, 200),
        ({"content-type": "application/json; charset=iso-8859-1"}, 415),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
        ({"content-type": "application/json", "content-encoding": "identity"}, 200),
    ],
)
async def test_only_utf8_json_is_taken(client: AsyncClient, headers: dict[str, str], status: int) -> None:
    response = await client.post("/graphql", content=b'{"query":"{hello}"}', headers=headers)
    assert response.status_code == status


class TestGet:
    async def test_runs_queries(self, client: AsyncClient) -> None:
        response = await client.get(
            "/graphql",
            params={"query": "query($n:String){hello(name:$n)}", "variables": '{"n":"ä"}', "operationName": ""},
        )
        assert response.json() == {"data": {"hello": "hello ä"}}

    async def test_never_runs_a_mutation(self, client: AsyncClient) -> None:
        for accept in (RESPONSE, "application/json"):
            response = await client.get(
                "/graphql", params={"query": 'mutation { record(name: "x") }'}, headers={"accept": accept}
            )
            assert response.status_code == 405
            assert response.headers["allow"] == "POST"
            assert codes(response) == ["BAD_USER_INPUT"]

    async def test_may_name_the_query_beside_a_mutation(self, client: AsyncClient) -> None:
        query = 'query A { hello } mutation B { record(name: "x") }'
        assert (await client.get("/graphql", params={"query": query, "operationName": "A"})).status_code == 200
        assert (await client.get("/graphql", params={"query": query, "operationName": "B"})).status_code == 405

    @pytest.mark.parametrize(
        "query_string",
        [
            "",
            "query",
            "variables={}",
            "query={hello}&query={hello}",
            "query={hello}&variables={",
            "query={hello}&variables=[]",
            "query=%FF",
            "&".join(f"a{n}=1" for n in range(1000)) + "&query={hello}",
        ],
    )
    async def test_needs_one_meaning(self, client: AsyncClient, query_string: str) -> None:
        response = await client.get("/graphql?" + query_string, headers={"accept": RESPONSE})
        assert response.status_code == 400

    async def test_null_is_the_name_of_an_operation(self, client: AsyncClient) -> None:
        assert (
            await client.get("/graphql", params={"query": "query null {hello}", "operationName": "null"})
        ).is_success


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_other_methods_are_405(client: AsyncClient, method: str) -> None:
    response = await client.request(method, "/graphql")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD, POST"


class TestErrorsOfFields:
    @pytest.mark.parametrize(
        ("fail", "extensions"),
        [
            ("refusal", {"code": "BAD_USER_INPUT", "path": ["address"]}),
            ("not_found", {"code": "NOT_FOUND", "path": ["purpose"]}),
            ("inactive", {"code": "INACTIVE", "path": ["purpose"]}),
            ("limit", {"code": "LIMIT_EXCEEDED", "limit": "addresses of one call", "allowed": 10000, "given": 10001}),
            ("later", {"code": "NOT_YET_AVAILABLE", "position": 7}),
            ("forbidden", {"code": "FORBIDDEN", "scope": "read"}),
            ("coded", {"code": "FORBIDDEN", "scope": "write"}),
        ],
    )
    async def test_expected_ones_say_what_the_contract_says(
        self, client: AsyncClient, fail: str, extensions: dict[str, object]
    ) -> None:
        response = await ask(client, f'{{ hello maybe(fail: "{fail}") }}')
        assert response.status_code == 294
        body = response.json()
        assert body["data"] == {"hello": "hello world", "maybe": None}
        assert body["errors"][0]["extensions"] == extensions
        assert body["errors"][0]["path"] == ["maybe"]

    async def test_a_partial_answer_is_200_as_plain_json(self, client: AsyncClient) -> None:
        assert (await ask(client, '{ maybe(fail: "limit") }', accept="application/json")).status_code == 200

    @pytest.mark.parametrize("fail", ["bug", "foreign"])
    async def test_unexpected_ones_show_an_id_that_is_in_the_log_and_nothing_else(
        self, client: AsyncClient, fail: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        response = await ask(client, f'{{ surely(fail: "{fail}") }}')
        (error,) = response.json()["errors"]
        assert set(error["extensions"]) == {"code", "id"}
        assert error["extensions"]["code"] == "INTERNAL"
        assert "vault" not in response.text
        (record,) = [record for record in caplog.records if record.name == "consentry.web.refusals"]
        assert record.fields["error_id"] == error["extensions"]["id"]
        assert record.exc_info

    async def test_where_the_store_is_away_the_request_as_a_whole_is_503(self, client: AsyncClient) -> None:
        for accept in (RESPONSE, "application/json"):
            response = await ask(client, '{ surely(fail: "away") }', accept=accept)
            assert response.status_code == 503
            assert response.headers["retry-after"] == "1"
            assert codes(response) == ["UNAVAILABLE"]
            assert "data" not in response.json()
            assert "10.0.0.1" not in response.text

    async def test_a_variable_that_makes_an_argument_wrong_is_the_callers_mistake(self, client: AsyncClient) -> None:
        response = await ask(client, 'query($n: String = "x") { hello(name: $n) }', variables={"n": None})
        assert codes(response) == ["BAD_USER_INPUT"]


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        ({}, ["w"]),
        ({"w": None}, ["w"]),
        ({"w": {}}, ["w"]),
        ({"w": {"names": [1]}}, ["w", "names", "0"]),
        ({"w": {"names": ["a"], "count": "b"}}, ["w", "count"]),
        ({"w": {"names": ["a"], "other": 1}}, ["w"]),
    ],
)
async def test_a_wrong_variable_is_named_by_its_path(
    client: AsyncClient, variables: dict[str, object], path: list[str]
) -> None:
    response = await ask(client, "query($w: Wanted!) { items(wanted: $w) { name } }", variables=variables)
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "path": path}


async def test_many_wrong_values_give_few_errors_and_short_ones(client: AsyncClient) -> None:
    query = "query($w: Wanted!) { items(wanted: $w) { name } }"
    response = await ask(client, query, variables={"w": {"names": list(range(5000)), "x" * 100_000: 1}})
    assert len(response.json()["errors"]) <= 10
    assert len(response.text) < 20_000


async def test_nul_and_lone_surrogates_come_back_as_they_were(client: AsyncClient) -> None:
    body = b'{"query":"query($n:String!){hello(name:$n)}","variables":{"n":"a\\u0000\\ud800b"}}'
    response = await client.post("/graphql", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 200
    assert json.loads(response.content)["data"]["hello"] == "hello a\x00\ud800b"


async def test_a_body_beyond_the_limit_is_413_whether_it_says_so_or_not() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    async with asking(toy_app(body_bytes_max=1000)) as client:
        announced = await client.post("/graphql", json={"query": "{hello}", "extensions": {"a": "x" * 2000}})
        chunks = await client.post("/graphql", content=endless(), headers={"content-type": "application/json"})
        fits = await client.post("/graphql", json={"query": "{hello}"})
    for response in (announced, chunks):
        assert response.status_code == 413
        assert response.json()["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
        assert response.json()["errors"][0]["extensions"]["allowed"] == 1000
    assert fits.status_code == 200


async def test_answers_carry_the_headers_that_keep_browsers_out(client: AsyncClient) -> None:
    headers = (await ask(client, "{hello}")).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert len(headers["x-request-id"]) == 16
