"""What has an id: the interface of Relay that every such type implements."""

import strawberry


@strawberry.interface(description="Something with an id, by which `node` finds it again.")
class Node:
    id: strawberry.ID = strawberry.field(description="Opaque; unique among everything of the tenant.")
