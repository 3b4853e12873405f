"""What is not compiled runs on graphql-core, and lets others go on in long lists as well."""

from typing import Any

from graphql.execution.incremental.incremental_executor import IncrementalExecutor

from schema.plans.turns import MANY, in_turns


class InTurns(IncrementalExecutor):
    """The executor that graphql-core uses by itself, but for its long lists."""

    def complete_list_value(
        self, return_type: Any, field_details_list: Any, info: Any, path: Any, result: Any, position_context: Any
    ) -> Any:
        """Complete a list value; a long one as if its items came one by one."""
        if result.__class__ is list and len(result) > MANY:
            result = in_turns(result)
        return super().complete_list_value(return_type, field_details_list, info, path, result, position_context)
