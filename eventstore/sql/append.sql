-- append: move the head of a tenant's log from one known state to the next, and write all that comes with it.
-- Everything hangs on `moved`: where the head is not (size, epoch) as expected, no row is written anywhere and the
-- answer is 0. The projection's own statements take the place of the line marked so.
WITH moved AS (
    UPDATE log_heads
    SET size = $4, frontier = $5, root = $6, recorded_at = $7, catalogue_position = $8
    WHERE tenant = $1 AND size = $2 AND epoch = $3
    RETURNING tenant
), entries AS (
    INSERT INTO log_entries (tenant, recorded_at, position, stream, number, type, channel, purpose, topic, value,
                             source, application, entry, leaf_hash)
    SELECT moved.tenant, $7, u.*
    FROM moved, unnest($9::bigint[], $10::uuid[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::text[],
                       $16::text[], $17::text[], $18::text[], $19::bytea[], $20::bytea[]) AS u
), records AS (
    INSERT INTO idempotency_records (tenant, key_hash, command_digest, position, events)
    SELECT moved.tenant, u.* FROM moved, unnest($21::bytea[], $22::bytea[], $23::bigint[], $24::int[]) AS u
), subjects AS (
    INSERT INTO vault_subjects (tenant, created_at, contact_point, channel, blind_index, wrapped_key, sealed_address,
                                first_position)
    SELECT moved.tenant, $7, u.*
    FROM moved, unnest($25::uuid[], $26::text[], $27::bytea[], $28::bytea[], $29::bytea[], $30::bigint[]) AS u
), items AS (
    INSERT INTO vault_items (tenant, contact_point, position, sealed)
    SELECT moved.tenant, u.* FROM moved, unnest($31::uuid[], $32::bigint[], $33::bytea[]) AS u
), shown AS (
    INSERT INTO notices (tenant, digest, text)
    SELECT moved.tenant, u.* FROM moved, unnest($34::bytea[], $35::text[]) AS u
    ON CONFLICT DO NOTHING
)
-- projection
SELECT count(pg_notify('consentry_log', moved.tenant::text || ':' || $4::bigint::text)) FROM moved
