"""How large a GraphQL document may be, measured on its text's tree before anything of it is run.

Knows GraphQL's language, and no schema: what it would cost to answer is `graphql_price`.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionNode,
    SelectionSetNode,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may ask for.

    Tokens: a batch of 10,000 addresses written into the document fits; sensible clients send variables.
    Fields: validation compares those of one name in one place pairwise, and so the fragments there.
    Depth: the standard introspection query has 15.
    Cost, in fields answered: 10,000 decisions with their reasons, purposes and topics.
    """

    source_chars: int = 1_000_000
    tokens: int = 15_000
    comments: int = 1_000
    depth: int = 15
    fields: int = 1_000
    aliases: int = 200
    directives: int = 200
    fragments: int = 100
    spreads: int = 200
    same_name: int = 50
    spread_out: int = 30_000
    cost: int = 500_000
    # Of a subscription, which is answered as often as something happens.
    event_cost: int = 5_000
    page_default: int = 50
    page_max: int = 1_000
    list_max: int = 10_000
    plain_list: int = 10
    # Lists that are known to be shorter than `plain_list`, as "Type.field".
    known_lists: dict[str, int] = field(default_factory=dict)
    # What a field costs that takes more time or memory than others do, as "Type.field".
    dear_fields: dict[str, int] = field(default_factory=dict)

    def cost_limit(self, kind: OperationType) -> tuple[str, int]:
        """The name of the limit for what an operation of this kind costs, and the limit."""
        return ("cost of an event", self.event_cost) if kind is OperationType.SUBSCRIPTION else ("cost", self.cost)


class LimitReached(Exception):
    """More than a limit allows. `given` is None where counting stopped at the limit."""

    def __init__(self, limit: str, allowed: int, given: int | None) -> None:
        super().__init__(f"{limit}: at most {allowed}")
        self.limit = limit
        self.allowed = allowed
        self.given = given

    @property
    def message(self) -> str:
        """The limit in words."""
        given = "more" if self.given is None else str(self.given)
        return f"the request is over a limit: {self.limit}, at most {self.allowed}, given {given}"


def check_size(document: DocumentNode, limits: Limits) -> None:
    """Raises LimitReached where the document has too much of something, wherever it stands."""
    fields = aliases = directives = fragments = spreads = 0
    for definition in document.definitions:
        if not isinstance(definition, OperationDefinitionNode | FragmentDefinitionNode):
            continue
        directives += len(definition.directives or ())
        fragments += isinstance(definition, FragmentDefinitionNode)
        for selection in _selections(definition.selection_set):
            directives += len(selection.directives or ())
            if isinstance(selection, FieldNode):
                fields += 1
                aliases += selection.alias is not None
            else:
                spreads += 1
    for limit, allowed, given in (
        ("fields", limits.fields, fields),
        ("aliases", limits.aliases, aliases),
        ("directives", limits.directives, directives),
        ("fragments", limits.fragments, fragments),
        ("fragment spreads", limits.spreads, spreads),
    ):
        if given > allowed:
            raise LimitReached(limit, allowed, given)


def check_merging(document: DocumentNode, limits: Limits) -> None:
    """Raises LimitReached where many fields of one name are to be merged. The document may still be invalid."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    left = limits.spread_out
    reached: set[str] = set()
    waiting = [
        ([definition.selection_set], 1)
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
    ]
    unreached = list(fragments)
    while waiting or unreached:
        if not waiting:  # what nobody spreads is validated as well
            name = unreached.pop()
            waiting = [] if name in reached else [([fragments[name].selection_set], 1)]
            continue
        together, depth = waiting.pop()
        by_name: dict[str, list[SelectionSetNode]] = {}
        counted: Counter[str] = Counter()
        spread: set[str] = set()
        sets = list(together)
        while sets:
            for selection in sets.pop().selections:
                left -= 1
                if left < 0:
                    raise LimitReached("fields with all fragments spread out", limits.spread_out, None)
                if isinstance(selection, FieldNode):
                    name = (selection.alias or selection.name).value
                    counted[name] += 1
                    if selection.selection_set is not None:
                        by_name.setdefault(name, []).append(selection.selection_set)
                elif isinstance(selection, InlineFragmentNode):
                    sets.append(selection.selection_set)
                else:
                    name = cast(FragmentSpreadNode, selection).name.value
                    if name in fragments and name not in spread:
                        spread.add(name)
                        reached.add(name)
                        sets.append(fragments[name].selection_set)
        most = max(counted.values(), default=0)
        if most > limits.same_name:
            raise LimitReached("fields of one name in one place", limits.same_name, most)
        if depth <= limits.depth:  # deeper is refused for that, and fragments in cycles for those
            waiting.extend((below, depth + 1) for below in by_name.values())


def check_depth(document: DocumentNode, limits: Limits) -> None:
    """Raises LimitReached where fields are nested too deeply. Fragments must be free of cycles: validate first."""
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    known: dict[str, int] = {}

    def depth(selections: SelectionSetNode | None) -> int:
        return max((depth_of(selection) for selection in selections.selections), default=0) if selections else 0

    def depth_of(selection: SelectionNode) -> int:
        if isinstance(selection, FieldNode):
            return 1 + depth(selection.selection_set)
        if isinstance(selection, InlineFragmentNode):
            return depth(selection.selection_set)
        name = cast(FragmentSpreadNode, selection).name.value
        if name not in known:
            known[name] = depth(fragments[name].selection_set)
        return known[name]

    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            given = depth(definition.selection_set)
            if given > limits.depth:
                raise LimitReached("depth", limits.depth, given)


def _selections(selection_set: SelectionSetNode) -> Iterator[SelectionNode]:
    waiting = list(selection_set.selections)
    while waiting:
        selection = waiting.pop()
        yield selection
        if isinstance(selection, FieldNode | InlineFragmentNode) and selection.selection_set is not None:
            waiting.extend(selection.selection_set.selections)
