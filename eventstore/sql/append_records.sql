-- append_records: what idempotency keys stand for from now on.
, records AS (
    INSERT INTO idempotency_records (tenant, key_hash, command_digest, position, events)
    SELECT moved.tenant, substring(${}::bytea FROM u.n::int * 16 - 15 FOR 16), substring(${}::bytea FROM u.n::int * 8 - 7 FOR 8),
           u.position, u.events
    FROM moved, unnest(${}::text::bigint[], ${}::text::int[]) WITH ORDINALITY AS u (position, events, n)
)
