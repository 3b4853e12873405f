// Prints a JSON array of {id, name, status, reason} for the GraphQL endpoint at the URL given.
import { auditServer } from "graphql-http";

const results = await auditServer({ url: process.argv[2] });
process.stdout.write(JSON.stringify(results.map(({ id, name, status, reason }) => ({ id, name, status, reason }))));
