"""What an operation sends back, one payload after the other, whatever transport carries it."""

from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing, closing
from typing import cast

from graphql import OperationType

from schema.context import RequestContext
from schema.feed import ConsentEventStream
from web.authentication import documents_owner
from web.graphql_limits import LimitReached
from web.graphql_operations import OperationRefused, Operations
from web.graphql_request import GraphQLRequest
from web.live.sessions import Session, TooManyOpen
from web.live.sharing import Sharing
from web.refusals import exception_entry, limit_error


async def results(
    operations: Operations,
    sharing: Sharing,
    session: Session,
    asked: GraphQLRequest,
    request_id: str,
    counted: ExitStack | None = None,
) -> AsyncGenerator[str]:
    """Each payload as JSON. Raises OperationRefused before the first one, where nothing of it is executed.

    `counted` holds the session's operation where it was entered before, and is closed when this ends.
    """
    try:
        with session.operation() if counted is None else counted:
            identity = session.identity
            runnable = operations.runnable(asked, documents_owner(identity.tenant))
            context = RequestContext(identity.tenant, identity.caller)
            if runnable.kind is not OperationType.SUBSCRIPTION:
                owner = documents_owner(identity.tenant)
                parts, held = await operations.run(
                    runnable, context, request_id, lambda body: operations.written(body, runnable, owner)
                )
                with closing(held):
                    text = b"".join(parts).decode()
                    parts.clear()
                    yield text
                return
            stream = cast("ConsentEventStream", await operations.source(runnable, context, request_id))
            async with aclosing(sharing.payloads(runnable, stream, request_id, identity.key)) as payloads:
                async for payload in payloads:
                    yield payload.text
    except OperationRefused:
        raise
    except TooManyOpen as too_many:
        raise OperationRefused([limit_error(LimitReached(too_many.limit, too_many.allowed, None))]) from None
    except Exception as error:  # noqa: BLE001 - the last stop: whatever it is, the client gets an id and the log the rest
        raise OperationRefused([exception_entry(error, request_id)]) from error
