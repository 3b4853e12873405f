"""Compiled or on graphql-core, an operation answers the same: random documents over a schema in which everything goes wrong.

CONSENTRY_TEST_DOCUMENTS says how many documents are made; by default a thousand.
"""

import asyncio
import gc
import os
from collections import Counter
from random import Random

import pytest
from graphql import OperationType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schema.plans.plans import Plans
from tests.schema.plans.comparing import both
from tests.schema.plans.documents import RandomDocuments
from tests.schema.plans.toy import Context, make_box, toy_schema

DOCUMENTS = int(os.environ.get("CONSENTRY_TEST_DOCUMENTS", "1000"))
_SCHEMA = toy_schema()
_PLANS = Plans(_SCHEMA)
# How often things go right, where one in so many goes wrong.
_CALM = (3, 6, 20, 100)
_KINDS = (*[OperationType.QUERY] * 8, OperationType.MUTATION, OperationType.MUTATION, OperationType.SUBSCRIPTION)
_POOL = {"name": ("n", "raise")}


# What an error overtakes may end without ever being awaited, on either side.
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_random_operations_answer_the_same_and_run_the_same_resolvers_in_the_same_order() -> None:
    met: Counter[str] = Counter()
    loop = asyncio.new_event_loop()

    @settings(max_examples=DOCUMENTS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(random=st.randoms(use_true_random=True))
    def compare(random: Random) -> None:
        kind = random.choice(_KINDS)
        asked = RandomDocuments(_SCHEMA, random, _POOL).asked(kind)
        calm = random.choice(_CALM)
        # Of a subscription the result for one event is made.
        root = make_box(random.randrange(9), calm) if kind is OperationType.SUBSCRIPTION else None
        run = both(_SCHEMA, _PLANS, asked, lambda: Context(calm=calm), lambda context: context.trace, root=root)
        outcome = loop.run_until_complete(run)
        if outcome is None:
            met["invalid"] += 1
        elif outcome.compiled is None:
            met["left to graphql-core"] += 1
        else:
            assert outcome.compiled == outcome.core, f"{asked}, one in {calm} goes wrong"
            met["the same"] += 1
            met["with errors"] += '"errors": []' not in outcome.core
            met["null as a whole"] += '"data": null' in outcome.core

    compare()
    loop.close()
    gc.collect()
    # Were there fewer, most of what this is for would not have been met.
    assert met["the same"] > 0.6 * DOCUMENTS, met
    assert met["with errors"] > 0.3 * DOCUMENTS, met
    assert met["null as a whole"] > 0.1 * DOCUMENTS, met
