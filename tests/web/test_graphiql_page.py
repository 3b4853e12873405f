"""GraphQL's address in a browser: a page whose files are all ours, and that is never blank."""

import hashlib
import re

import pytest
from httpx import AsyncClient

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
# As published: graphiql 4.1.2, react and react-dom 18.3.1.
DIGESTS = {
    "graphiql-4.1.2.min.css": "30487e07635d312a63f647b140d37740a73c53332b0975bf4b1fe985ca6ec885",
    "graphiql-4.1.2.min.js": "867226ba8af5ce7949903fc53932f78dac9f4bfc6cc8da0fd3869b8bc6c5256b",
    "react-18.3.1.min.js": "d949f1c3687aedadcedac85261865f29b17cd273997e7f6b2bfc53b2f9d4c4dd",
    "react-dom-18.3.1.min.js": "35f4f974f4b2bcd44da73963347f8952e341f83909e4498227d4e26b98f66f0d",
}


async def page(client: AsyncClient) -> str:
    response = await client.get("/graphql", headers={"accept": BROWSER})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return response.text


async def test_a_browser_gets_the_page_and_anyone_else_an_answer(client: AsyncClient) -> None:
    assert "<!doctype html>" in await page(client)
    for accept in ("application/json", "*/*", "application/json, text/html;q=0.5"):
        response = await client.get("/graphql", params={"query": "{hello}"}, headers={"accept": accept})
        assert response.json() == {"data": {"hello": "hello world"}}


async def test_everything_that_the_page_loads_is_here_and_nothing_is_elsewhere(client: AsyncClient) -> None:
    html = await page(client)
    assert not re.search(r"(src|href)=\"(https?:)?//", html)
    names = re.findall(r"(?:src|href)=\"(/[^\"]+)\"", html)
    assert len(names) == 6
    for name in names:
        response = await client.get(name)
        assert response.status_code == 200
        assert response.headers["content-type"].split(";")[0] in ("text/javascript", "text/css")


async def test_the_policy_allows_no_other_host_and_no_inline_script(client: AsyncClient) -> None:
    response = await client.get("/graphql", headers={"accept": BROWSER})
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "http" not in policy
    assert "unsafe-eval" not in policy
    assert not re.search(r"<script(?! src=)", response.text)
    assert not re.search(r"\son\w+=", response.text)


async def test_without_scripts_the_page_says_what_it_is(client: AsyncClient) -> None:
    html = await page(client)
    assert "<noscript>" in html
    assert "its scripts did not load" in html


@pytest.mark.parametrize("name", ["README.md", "index.html", "nothing.js", "..%2fapp.py", "../app.py"])
async def test_only_the_files_of_the_page_are_served(client: AsyncClient, name: str) -> None:
    assert (await client.get(f"/graphiql/{name}")).status_code == 404


@pytest.mark.parametrize("name", DIGESTS)
async def test_what_others_wrote_is_as_they_published_it(client: AsyncClient, name: str) -> None:
    response = await client.get(f"/graphiql/{name}")
    assert hashlib.sha256(response.content).hexdigest() == DIGESTS[name]
