"""What a plan cannot be made of: then graphql-core runs the operation, from its first field to its last."""


class NotCompiled(Exception):
    """The operation has something that only graphql-core does; says what."""
