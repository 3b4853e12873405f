"""Every operation that a test runs compiled is run on graphql-core as well, and the two must answer the same.

Changes must not be made twice, nor the world asked twice while it goes on: what the fields of the root gave to the plan is
given to graphql-core again; so everything that is made of it is compared, and nothing is executed but its reading.
"""

import contextvars
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from graphql import DocumentNode, ExecutionResult, GraphQLResolveInfo, OperationDefinitionNode, execute, print_ast

from schema.plans import compiler
from schema.plans.plans import Plans
from schema.plans.resolvers import Resolver
from schema.plans.selections import Place, SelectedField

_ROOTS = ("Query", "Mutation")
# What the root's fields gave, by their key in the answer: a value or an exception, and whether it was awaited.
_Given = dict[str, tuple[Any, Exception | None, bool]]
_given: contextvars.ContextVar[_Given | None] = contextvars.ContextVar("given", default=None)
DIFFERENCES: list[str] = []


@contextmanager
def compared() -> Iterator[None]:
    """Compare while this is open; what differs is in DIFFERENCES."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiler, "method", _recording(compiler.method))
        patch.setattr(compiler, "read_of_object", _recording_reads(compiler.read_of_object))
        patch.setattr(Plans, "execute", _comparing(Plans.execute))
        yield


def _recording(method: Any) -> Any:
    def recording(resolver: Resolver, arguments: Any, place: Place, info: Any, complete: Any) -> SelectedField:
        if place.parent in _ROOTS:
            function = _recorded(resolver.function, place.key, is_async=resolver.is_async)
            resolver = replace(resolver, function=function)
        return method(resolver, arguments, place, info, complete)

    return recording


def _recording_reads(read_of_object: Any) -> Any:
    def recording(read: Any, place: Place, *more: Any) -> SelectedField:
        if place.parent in _ROOTS:
            read = _recorded(read, place.key, is_async=False)
        return read_of_object(read, place, *more)

    return recording


def _recorded(function: Any, key: str, *, is_async: bool) -> Any:
    def recorded(*args: Any, **kwargs: Any) -> Any:
        try:
            value = function(*args, **kwargs)
        except Exception as error:
            _note(key, None, error, was_awaited=False)
            raise
        _note(key, value, None, was_awaited=False)
        return value

    async def recorded_async(*args: Any, **kwargs: Any) -> Any:
        try:
            value = await function(*args, **kwargs)
        except Exception as error:
            _note(key, None, error, was_awaited=True)
            raise
        _note(key, value, None, was_awaited=True)
        return value

    return recorded_async if is_async else recorded


def _note(key: str, value: Any, error: Exception | None, *, was_awaited: bool) -> None:
    given = _given.get()
    if given is not None:
        given[key] = (value, error, was_awaited)


def _comparing(original: Any) -> Any:
    def comparing(
        self: Plans,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        inputs: Mapping[str, Any],
        context: object,
        root: object = None,
    ) -> ExecutionResult | Awaitable[ExecutionResult] | None:
        given: _Given = {}
        token = _given.set(given)
        try:
            result = original(self, document, operation, inputs, context, root)
        finally:
            _given.reset(token)
        if result is None:
            return None

        def again() -> Any:
            return execute(
                self.schema,
                document,
                root_value=root,
                context_value=context,
                variable_values=dict(inputs),
                operation_name=operation.name.value if operation.name else None,
                middleware=[_giving_again(given)],
            )

        if isinstance(result, ExecutionResult):
            core = again()
            if isinstance(core, ExecutionResult):
                _compare(document, inputs, result, core)
            else:
                core.close()
                DIFFERENCES.append(f"only graphql-core waits in {print_ast(document)}")
            return result

        async def awaited() -> ExecutionResult:
            token = _given.set(given)
            try:
                compiled = await result
            finally:
                _given.reset(token)
            core = again()
            _compare(document, inputs, compiled, core if isinstance(core, ExecutionResult) else await core)
            return compiled

        return awaited()

    return comparing


def _giving_again(given: _Given) -> Any:
    async def later(value: Any, error: Exception | None) -> Any:
        if error is not None:
            raise error
        return value

    def give(resolve: Any, source: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        if info.path.prev is not None or info.field_name == "__typename" or info.parent_type.name not in _ROOTS:
            return resolve(source, info, **arguments)
        value, error, was_awaited = given[str(info.path.key)]
        if was_awaited:
            return later(value, error)
        if error is not None:
            raise error
        return value

    return give


def _compare(document: DocumentNode, inputs: object, compiled: ExecutionResult, core: ExecutionResult) -> None:
    if repr(compiled.data) != repr(core.data) or _errors(compiled) != _errors(core):
        DIFFERENCES.append(f"{print_ast(document)}\n{inputs}\ncompiled: {compiled}\ngraphql-core: {core}")


def _errors(result: ExecutionResult) -> list[str]:
    # In no order: which of two comes first depends on what was waited for.
    return sorted(
        repr((error.message, error.path, error.locations, error.extensions, error.original_error))
        for error in result.errors or ()
    )
