"""Which addresses are connected to, and that nothing of the environment changes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.outgoing import NotAnswered, OutgoingClient
from ledger.outgoing_addresses import ANYWHERE, Reach, address_of, is_public, parse_networks
from tests.ledger.receiver import Receiver

PUBLIC = Reach(public=True)


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1",  # noqa: S104
        "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
        "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16", "192.88.99.1",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "fe80::1",
        "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "64:ff9b::7f00:1", "64:ff9b:1::1",
        "2002:7f00:1::", "2001:0:7f00:1::", "2001:db8::1", "100::1", "3fff::1", "5f00::1",
    ],
)  # fmt: skip
def test_what_is_not_of_the_public_internet_is_out_of_reach(text: str) -> None:
    address = address_of(text)
    assert address is not None
    assert not PUBLIC.allows(address)


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "93.184.215.14", "172.15.0.1", "172.32.0.1", "::ffff:1.1.1.1", "2606:4700::1111", "2a00::1"]
)
def test_what_is_public_is_in_reach(text: str) -> None:
    address = address_of(text)
    assert address is not None
    assert PUBLIC.allows(address)


@given(st.ip_addresses())
def test_nothing_is_public_that_the_standard_library_knows_better(address: object) -> None:
    if is_public(address):  # type: ignore[arg-type]
        assert not any(
            getattr(address, name)
            for name in ("is_private", "is_loopback", "is_link_local", "is_multicast", "is_reserved", "is_unspecified")
        )


def test_what_the_operator_names_is_in_reach_also_when_mapped() -> None:
    named = Reach(public=False, networks=parse_networks("10.0.0.0/8, fd00::/8"))
    for text in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"):
        address = address_of(text)
        assert address is not None
        assert named.allows(address)
    for text in ("11.0.0.1", "1.1.1.1", "fe80::1"):
        address = address_of(text)
        assert address is not None
        assert not named.allows(address)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "ten", "10.0.0.0/33", "10.0.0.0/8,,", "http://10.0.0.1"])
def test_a_network_that_is_none_says_what_would_be_right(text: str) -> None:
    with pytest.raises(ValueError, match=r"networks such as 10\.0\.0\.0/8"):
        parse_networks(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1", "localhost"])
async def test_no_spelling_of_this_machine_is_reached(host: str) -> None:
    async with Receiver() as receiver:
        client = OutgoingClient(https=PUBLIC, http=PUBLIC, timeout_s=5)
        with pytest.raises(NotAnswered):
            await client.post(f"http://{host}:{receiver.port}/", b"{}", {})
        await client.close()
    assert receiver.requests == []


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as proxy, Receiver() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        client = OutgoingClient(https=ANYWHERE, http=ANYWHERE, timeout_s=5)
        assert (await client.post(receiver.url, b"{}", {})).status == 200
        await client.close()
    assert (len(proxy.requests), len(receiver.requests)) == (0, 1)


async def test_a_credential_in_the_url_is_sent_as_basic_authentication_and_not_in_the_host() -> None:
    async with Receiver() as receiver:
        client = OutgoingClient(https=ANYWHERE, http=ANYWHERE, timeout_s=5)
        await client.post(f"http://user:pass%2Fword@127.0.0.1:{receiver.port}/", b"{}", {})
        await client.close()
    [request] = receiver.requests
    assert request.headers["authorization"] == "Basic dXNlcjpwYXNzL3dvcmQ="
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
