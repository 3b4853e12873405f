"""The GraphQL face: translate in, one call to the ledger, translate out."""
