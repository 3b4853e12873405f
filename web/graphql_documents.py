"""GraphQL documents made ready to run: parsed, validated, measured; each once, then kept by its text.

What is kept is bounded by the length of the texts, since the memory of a parsed document grows with it.
"""

from collections import OrderedDict
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    parse,
    validate,
)

from web.graphql_limits import LimitReached, Limits, check_depth, check_merging, check_size
from web.graphql_price import Price

_KEPT_CHARS_MAX = 200_000
_KEPT_DOCUMENT_CHARS_MAX = 25_000
_VALIDATION_ERRORS_MAX = 10


@dataclass(frozen=True, slots=True)
class PreparedOperation:
    """One operation of a document, with its price and the fields of its root that it asks for."""

    node: OperationDefinitionNode
    price: Price
    fields: tuple[str, ...]

    @property
    def kind(self) -> OperationType:
        """Query, mutation or subscription."""
        return self.node.operation


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document that may be run. `kept`: another request with its text gets the same nodes, unless it is given up."""

    node: DocumentNode
    operations: dict[str | None, PreparedOperation]
    kept: bool

    def operation(self, name: str | None) -> PreparedOperation | None:
        """The operation of this name, or the only one; None where that is not said."""
        if name is None:
            return next(iter(self.operations.values())) if len(self.operations) == 1 else None
        return self.operations.get(name)


class DocumentRefused(Exception):
    """The document cannot be run: the code and what is wrong with it."""

    def __init__(self, code: str, errors: list[GraphQLError]) -> None:
        super().__init__(code)
        self.code = code
        self.errors = errors


class Documents:
    """The documents of one schema."""

    def __init__(self, schema: GraphQLSchema, limits: Limits) -> None:
        self._schema = schema
        self._limits = limits
        self._kept_always: dict[str, PreparedDocument] = {}
        self._kept: OrderedDict[str, PreparedDocument] = OrderedDict()
        self._kept_chars = 0

    def prepared(self, text: str) -> PreparedDocument:
        """The document of this text. Raises DocumentRefused, LimitReached."""
        known = self._kept_always.get(text)
        if known is not None:
            return known
        known = self._kept.get(text)
        if known is not None:
            self._kept.move_to_end(text)
            return known
        kept = len(text) <= _KEPT_DOCUMENT_CHARS_MAX
        prepared = self._prepare(text, kept=kept)
        if kept:
            self._keep(text, prepared)
        return prepared

    def keep_always(self, text: str) -> None:
        """Prepare a document, and never give it up for others. Raises DocumentRefused, LimitReached."""
        self._kept_always[text] = self._prepare(text, kept=True)

    def _keep(self, text: str, prepared: PreparedDocument) -> None:
        self._kept[text] = prepared
        self._kept_chars += len(text)
        while self._kept_chars > _KEPT_CHARS_MAX:
            oldest, _ = self._kept.popitem(last=False)
            self._kept_chars -= len(oldest)

    def _prepare(self, text: str, *, kept: bool) -> PreparedDocument:
        limits = self._limits
        if len(text) > limits.source_chars:
            raise LimitReached("characters of the document", limits.source_chars, len(text))
        node = self._parse(text)
        check_size(node, limits)
        check_merging(node, limits)
        errors = validate(self._schema, node, max_errors=_VALIDATION_ERRORS_MAX)
        if errors:
            raise DocumentRefused("GRAPHQL_VALIDATION_FAILED", errors)
        check_depth(node, limits)
        fragments = {part.name.value: part for part in node.definitions if isinstance(part, FragmentDefinitionNode)}
        operations = {
            part.name.value if part.name else None: PreparedOperation(
                part, Price(self._schema, part, fragments, limits), _root_fields(part)
            )
            for part in node.definitions
            if isinstance(part, OperationDefinitionNode)
        }
        return PreparedDocument(node, operations, kept)

    def _parse(self, text: str) -> DocumentNode:
        try:
            return parse(text, max_lexical_tokens=self._limits.tokens, max_comments=self._limits.comments)
        except GraphQLError as error:
            # The parser has no type of its own for these; a test holds its words.
            for limit, allowed in (("tokens", self._limits.tokens), ("comments", self._limits.comments)):
                if error.message.endswith(f"more than {allowed} {limit}. Parsing aborted."):
                    raise LimitReached(limit, allowed, None) from None
            raise DocumentRefused("GRAPHQL_PARSE_FAILED", [error]) from None


def _root_fields(operation: OperationDefinitionNode) -> tuple[str, ...]:
    return tuple(
        selection.name.value for selection in operation.selection_set.selections if isinstance(selection, FieldNode)
    )
