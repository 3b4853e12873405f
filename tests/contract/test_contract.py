"""The printed schema beside the public contract: name for name, argument for argument, nullability for nullability.

What is left out is listed here, with the issue that brings it. An entry that is there after all fails.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
    print_ast,
)

from domain.opt_in_rules import RequiredEvidence
from domain.presets import PresetKey
from schema.schema import build_schema as build_ours

# Left out until it works: a type, a field ("Type.field"), an input's field, or an argument ("Type.field(argument)").
LEFT_OUT: dict[str, str] = {}


# What we have beyond the contract: a type, with all that it has, or one name alone.
ADDED = {
    # "required evidence": what a preset asks of an opt-in has to be given with a submission, too
    "RequestDoubleOptInInput.validUntil",
    "RequestDoubleOptInInput.legalBasis",
    "RequestDoubleOptInInput.jurisdiction",
    # "external link with its placeholders and any attribute of the sender"
    "ConsentDecision.unsubscribe(attributes)",
    # "previewed for administrators": the page with a brand that is not saved yet
    "Query.preferenceCenterPreview",
    "Query.preferenceCenterPreview(companyAddress)",
    "Query.preferenceCenterPreview(preferenceCenter)",
    "Query.preferenceCenterPreview(profile)",
    # "a configuration of an agent, so that it only names itself"
    "Agent",
    "AgentPayload",
    "CreateAgentInput",
    "UpdateAgentInput",
    "Query.agents",
    "Query.checkAgentConsent",
    "Mutation.createAgent",
    "Mutation.updateAgent",
    # A key may be bound to a unit
    "Viewer.businessUnit",
    # Presets for jurisdictions, and the settings that they raise
    *("CompliancePreset", *(f"CompliancePreset.{name}" for name in ("key", "name", "about", "settings"))),
    *("CompliancePresetSetting", *(f"CompliancePresetSetting.{name}" for name in ("what", "value", "why", "source"))),
    *("CompliancePresetKey", *(f"CompliancePresetKey.{key}" for key in PresetKey)),
    *("RequiredEvidence", *(f"RequiredEvidence.{one}" for one in RequiredEvidence)),
    *("OptInExpiry", "OptInExpiry.legalBasis", "OptInExpiry.months"),
    *("OptInExpiryInput", "OptInExpiryInput.legalBasis", "OptInExpiryInput.months"),
    *("UpdatePurposeInput.optInExpiry", "UpdatePurposeInput.requiredEvidence"),
    *("Purpose.optInExpiry", "Purpose.requiredEvidence", "ComplianceProfile.presets", "Query.compliancePresets"),
    "Mutation.applyCompliancePreset",
    *(f"Mutation.applyCompliancePreset({name})" for name in ("profile", "preset", "idempotencyKey")),
    # Following from the first event on, which has no position before it.
    "Subscription.consentEvents(fromPosition)",
    # Webhooks.
    "Query.webhooks",
    "Query.webhookDeliveries",
    "Mutation.createWebhook",
    "Mutation.updateWebhook",
    "Mutation.rotateWebhookSecret",
    "Mutation.redeliverWebhook",
    "Mutation.deleteWebhook",
    "Webhook",
    "WebhookChange",
    "WebhookSecret",
    "WebhookStatus",
    "WebhookDelivery",
    "WebhookDeliveryState",
    "WebhookDeliveryEdge",
    "WebhookDeliveryConnection",
    "WebhookFilter",
    "CreateWebhookInput",
    "UpdateWebhookInput",
    "WebhookPayload",
    "WebhookSecretPayload",
    "DeleteWebhookPayload",
    # Acknowledgements.
    "ConsentEvent.acknowledgements",
    "Mutation.acknowledge",
    "AcknowledgePayload",
    "Acknowledgement",
    "AcknowledgedBy",
    # What records for people and authorities say of who is responsible.
    *("Controller", "ControllerInput", "ConsentType"),
    *("ComplianceProfile.controller", "UpdateComplianceProfileInput.controller"),
    # Clocks of opt-outs.
    "Query.propagation",
    *("OptOutPropagation", "OptOutPropagationEdge", "OptOutPropagationConnection", "OptOutPropagationFilter"),
    *("OptOutDeadline", "OptOutInTime", "OptOutKnownBy", "OptOutLimit"),
    # "how many would turn from send to block and back, before it is done"
    "EnforcementPreview",
    "EnforcementPreview.position",
    "EnforcementPreview.profiles",
    "EnforcementPreview.toBlock",
    "EnforcementPreview.toSend",
    "Query.previewEnforcement",
    "Query.previewEnforcement(channel)",
    "Query.previewEnforcement(model)",
    "Query.previewEnforcement(purpose)",
}


@pytest.fixture(scope="module")
def ours() -> dict[str, str]:
    return dict(_shape(build_schema(str(build_ours()))))


@pytest.fixture(scope="module")
def contract() -> dict[str, str]:
    path = Path(__file__).resolve().parents[2].parent / "shared" / "api.graphql"
    if not path.exists():
        pytest.skip("shared/api.graphql is not beside the checkout")
    return dict(_shape(build_schema(path.read_text("utf-8"))))


def test_everything_of_the_contract_is_there_or_listed_as_left_out(
    contract: dict[str, str], ours: dict[str, str]
) -> None:
    missing = {name for name in contract if name not in ours and not _is_left_out(name)}
    assert not missing


def test_what_is_there_has_the_contracts_type_nullability_and_default(
    contract: dict[str, str], ours: dict[str, str]
) -> None:
    different = {
        name: (ours[name], contract[name]) for name in contract if name in ours and ours[name] != contract[name]
    }
    assert not different


def test_nothing_listed_as_left_out_is_there(contract: dict[str, str], ours: dict[str, str]) -> None:
    assert not [name for name in LEFT_OUT if name in ours], "it works now: take it off the list"
    assert not [name for name in LEFT_OUT if name not in contract], "the contract has no such thing"


def test_nothing_is_added_to_the_contract_unawares(contract: dict[str, str], ours: dict[str, str]) -> None:
    assert not {name for name in ours if name not in contract and not _is_in(name, ADDED)}
    assert not [name for name in ADDED if name not in ours or name in contract]


def _is_left_out(name: str) -> bool:
    return _is_in(name, LEFT_OUT)


def _is_in(name: str, listed: Iterable[str]) -> bool:
    return any(name == one or name.startswith((f"{one}.", f"{one}(", f"{one} ")) for one in listed)


def _shape(schema: GraphQLSchema) -> Iterator[tuple[str, str]]:
    """Everything that has a name, with what a client can rely on."""
    for name, named in schema.type_map.items():
        if name.startswith("__") or (isinstance(named, GraphQLScalarType) and name in _BUILT_IN):
            continue
        yield name, type(named).__name__
        if isinstance(named, GraphQLEnumType):
            yield from ((f"{name}.{value}", "value") for value in named.values)
        elif isinstance(named, GraphQLInputObjectType):
            for field_name, field in named.fields.items():
                yield f"{name}.{field_name}", f"{field.type}{_default(field)}"
        elif isinstance(named, GraphQLObjectType | GraphQLInterfaceType):
            yield from ((f"{name} implements {interface.name}", "interface") for interface in named.interfaces)
            for field_name, field in named.fields.items():
                yield f"{name}.{field_name}", str(field.type)
                for argument_name, argument in field.args.items():
                    yield f"{name}.{field_name}({argument_name})", f"{argument.type}{_default(argument)}"


def _default(given: GraphQLArgument | GraphQLInputField) -> str:
    node = given.ast_node.default_value if given.ast_node else None
    return "" if node is None else f" = {print_ast(node)}"


_BUILT_IN = frozenset(("String", "Int", "Float", "Boolean", "ID"))
