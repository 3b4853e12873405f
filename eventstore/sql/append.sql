-- append: move the head of a tenant's log from one known state to the next, and write all that comes with it.
-- Everything hangs on `moved`: where the head is not (size, epoch) as expected, no row is written anywhere and the
-- answer is 0. Arrays of numbers, ids and keys come as literals (see array_literal), which costs a fraction of encoding
-- each of their elements. The projection's own statements take the place of the line marked so.
WITH moved AS (
    UPDATE log_heads
    SET size = $4, frontier = $5, root = $6, recorded_at = $7, catalogue_position = $8
    WHERE tenant = $1 AND size = $2 AND epoch = $3
    RETURNING tenant
), entries AS (
    INSERT INTO log_entries (tenant, recorded_at, position, stream, number, type, channel, purpose, topic, value,
                             source, application, entry, leaf_hash)
    SELECT moved.tenant, $7, u.*
    FROM moved, unnest($9::text::bigint[], $10::text::uuid[], $11::text::bigint[], $12::text::text[],
                       $13::text::text[], $14::text::text[], $15::text::text[], $16::text::text[], $17::text::text[],
                       $18::text::text[], $19::bytea[], $20::bytea[]) AS u
), records AS (
    INSERT INTO idempotency_records (tenant, key_hash, command_digest, position, events)
    SELECT moved.tenant, u.* FROM moved, unnest($21::bytea[], $22::bytea[], $23::text::bigint[], $24::text::int[]) AS u
), subjects AS (
    INSERT INTO vault_subjects (tenant, created_at, contact_point, channel, blind_index, wrapped_key, sealed_address,
                                first_position)
    SELECT moved.tenant, $7, u.*
    FROM moved, unnest($25::text::uuid[], $26::text::text[], $27::bytea[], $28::bytea[], $29::bytea[],
                       $30::text::bigint[]) AS u
), items AS (
    INSERT INTO vault_items (tenant, contact_point, position, sealed)
    SELECT moved.tenant, u.* FROM moved, unnest($31::text::uuid[], $32::text::bigint[], $33::bytea[]) AS u
), shown AS (
    INSERT INTO notices (tenant, digest, text)
    SELECT moved.tenant, u.* FROM moved, unnest($34::bytea[], $35::text[]) AS u
    ON CONFLICT DO NOTHING
), nodes AS (
    INSERT INTO log_nodes (tenant, level, index, hash)
    SELECT moved.tenant, u.* FROM moved, unnest($36::text::smallint[], $37::text::bigint[], $38::bytea[]) AS u
)
-- projection
-- erasure
SELECT count(pg_notify('consentry_log', moved.tenant::text || ':' || $4::bigint::text)) FROM moved
