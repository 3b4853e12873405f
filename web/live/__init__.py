"""GraphQL over connections that stay open: graphql-transport-ws, and both modes of graphql-sse."""
