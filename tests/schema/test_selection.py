"""previewEnforcement: what a change would turn, before it is done."""

from domain.refusals import RefusalCode
from tests.schema.conftest import Asker

PREVIEW = """
query($purpose: String!, $model: EnforcementModel!) {
  previewEnforcement(purpose: $purpose, channel: EMAIL, model: $model) { toBlock toSend position profiles { key } }
}
"""


async def test_a_preview_says_whom_a_change_turns_and_changes_nothing(ask: Asker) -> None:
    await ask.record("in@example.org", "OPTED_IN")
    await ask.record("out@example.org", "OPTED_OUT")
    event = await ask.record("reset@example.org", "NOT_SET")
    restrictive = (await ask.data(PREVIEW, purpose="commercial", model="RESTRICTIVE"))["previewEnforcement"]
    assert (restrictive["toBlock"], restrictive["toSend"]) == (1, 0)
    assert restrictive["profiles"] == [{"key": "default"}]
    disabled = (await ask.data(PREVIEW, purpose="commercial", model="DISABLED"))["previewEnforcement"]
    assert (disabled["toBlock"], disabled["toSend"], disabled["position"]) == (0, 1, event["position"])
    same = (await ask.data(PREVIEW, purpose="commercial", model="NON_RESTRICTIVE"))["previewEnforcement"]
    assert (same["toBlock"], same["toSend"]) == (0, 0)


async def test_a_preview_of_what_is_not_there_is_refused(ask: Asker) -> None:
    refusal = await ask.refused(PREVIEW, purpose="none", model="DISABLED")
    assert (refusal.code, refusal.path) == (RefusalCode.NOT_FOUND, ("purpose",))
