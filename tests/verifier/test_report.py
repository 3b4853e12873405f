"""Findings: each line once, and no slower for being the ten-thousandth."""

import pytest

from verifier.report import Findings, Line


def test_the_same_is_said_once_and_in_the_order_in_which_it_was_found() -> None:
    findings = Findings()
    for text in ("b", "a", "b"):
        findings.proven(text)
    findings.claimed("b")
    assert list(map(str, findings.report().lines)) == ["PROVEN  b", "PROVEN  a", "CLAIMED b"]


def test_a_line_is_not_compared_with_all_before(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0

    def equal(self: Line, other: object) -> bool:
        nonlocal compared
        compared += 1
        return isinstance(other, Line) and (self.verdict, self.text) == (other.verdict, other.text)

    monkeypatch.setattr(Line, "__eq__", equal)
    findings = Findings()
    for number in range(2_000):
        findings.proven(f"event {number}")
    assert len(findings.report().lines) == 2_000
    assert compared < 2_000
