"""The rules of webhooks: which URLs, when to try again, when to hold."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.refusals import Refusal
from domain.webhooks import HELD_AFTER, receiver_url, retry, retry_after

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://hooks.example.org/a?b=c", "https://hooks.example.org"),
        ("https://hooks.example.org:8443", "https://hooks.example.org:8443"),
        ("https://user:secret@hooks.example.org/", "https://hooks.example.org"),
        ("https://[2606:4700::1]/x", "https://[2606:4700::1]"),
    ],
)
def test_what_is_shown_of_a_url_holds_no_credential(url: str, origin: str) -> None:
    receiver = receiver_url(url, http_allowed=False)
    assert (receiver.text, receiver.origin) == (url, origin)
    assert "secret" not in repr(receiver)


@pytest.mark.parametrize(
    "url",
    [
        "", "hooks.example.org", "http://hooks.example.org/", "ftp://a.example/", "https://", "https:///path",
        "https://a.example/#part", "https://a.example/ b", "https://a.example/\r\nX: y", "https://ä.example/",
        "https://a.example:0/", "https://a.example:99999/", "https://[::1/", "https://[x]/", "https://a.example\\@b/",
        "https://a.example/" + "x" * 2_000, "file:///etc/passwd", "gopher://a.example/", "//a.example/",
    ],
)  # fmt: skip
def test_what_is_no_receivers_url_is_refused_unquoted(url: str) -> None:
    with pytest.raises(Refusal) as refused:
        receiver_url(url, http_allowed=False)
    assert refused.value.path == ("url",)
    # The same sentence for all: nothing of the URL is in it.
    assert refused.value.message == (
        "url must be https://host/path, in printable ASCII, without a fragment, at most 2000 characters"
    )


def test_http_is_for_where_it_is_allowed() -> None:
    assert receiver_url("http://10.0.0.7/", http_allowed=True).origin == "http://10.0.0.7"


def test_waits_grow_to_hours_and_the_last_try_is_at_the_end_of_the_three_days() -> None:
    now, waits = NOW, list[timedelta]()
    while (after := retry(attempts=len(waits) + 1, first_failed_at=NOW, now=now, jitter=0.5)).at is not None:
        waits.append(after.at - now)
        now = after.at
    assert [wait.total_seconds() for wait in waits[:5]] == [5, 15, 45, 135, 405]
    assert max(waits) == timedelta(hours=4)
    assert now == NOW + HELD_AFTER
    assert 20 < len(waits) < 40


@given(
    attempts=st.integers(1, 10_000),
    passed=st.floats(0, 1.2),
    jitter=st.floats(0, 1),
    asked=st.none() | st.timedeltas(timedelta(0), timedelta(days=400)),
)
def test_a_retry_is_later_than_now_and_never_after_the_three_days(
    attempts: int, passed: float, jitter: float, asked: timedelta | None
) -> None:
    now = NOW + passed * HELD_AFTER
    after = retry(attempts=attempts, first_failed_at=NOW, now=now, jitter=jitter, asked=asked)
    end = NOW + HELD_AFTER
    assert (after.at is None) == (now >= end)
    if after.at is not None:
        assert now < after.at <= end
        if asked is not None and asked <= timedelta(days=1):
            assert after.at - now >= min(asked, end - now)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120), (" 7 ", 7), ("0", 0), ("Mon, 01 Jun 2026 12:01:00 GMT", 60),
        ("Mon, 01 Jun 2026 11:00:00 GMT", None), ("-1", None), ("1e9", None), ("soon", None), ("", None), (None, None),
        ("99999999999", None), ("٣", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: int | None) -> None:
    asked = retry_after(text, NOW)
    assert (None if asked is None else asked.total_seconds()) == seconds
