"""The `eventsourcing` library, as its documentation uses it: aggregates saved by an application, on its PostgreSQL module."""

import threading
import time
import uuid
from typing import Any

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from eventstore.database import DatabaseAddress


class Point(Aggregate):
    """A contact point with one consent."""

    @event("Captured")
    def capture(self, value: str, purpose: str, source: str) -> None:
        self.value = value
        self.purpose = purpose
        self.source = source


class EventSourcing:
    """Its application on a database, with a connection for each caller."""

    def __init__(self, address: DatabaseAddress, callers: int) -> None:
        owner: Any = address.owner
        self._callers = callers
        self._application = Application[uuid.UUID](
            env={
                "PERSISTENCE_MODULE": "eventsourcing.postgres",
                "POSTGRES_DBNAME": owner["database"],
                "POSTGRES_HOST": owner["host"],
                "POSTGRES_PORT": str(owner["port"]),
                "POSTGRES_USER": owner["user"],
                "POSTGRES_PASSWORD": "none",
                "POSTGRES_POOL_SIZE": str(callers),
                "POSTGRES_MAX_OVERFLOW": str(callers),
            }
        )

    def rate(self, seconds: float) -> float:
        """Events a second that as many threads as there are callers record, each with new aggregates."""
        done: list[int] = []
        until = time.perf_counter() + seconds

        def one() -> None:
            count = 0
            while time.perf_counter() < until:
                point = Point()
                point.capture("OPTED_OUT", "commercial", "API")
                self._application.save(point)
                count += 2  # made and captured: two events, in one transaction
            done.append(count)

        started = time.perf_counter()
        threads = [threading.Thread(target=one) for _ in range(self._callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(done) / (time.perf_counter() - started)

    def close(self) -> None:
        """Give the connections back."""
        self._application.close()
