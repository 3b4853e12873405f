-- append: move the head of a tenant's log from one known state to the next, and write all that comes with it.
-- Everything hangs on `moved`: where the head is not (size, epoch) as expected, no row is written anywhere and the
-- answer is 0. Arrays of numbers, ids and keys come as literals, and bytes as one piece out of which each row takes its part
-- (see append_arguments), which costs a fraction of encoding each of their elements. The projection's own statements take the
-- place of the line marked so.
WITH moved AS (
    UPDATE log_heads
    SET size = $4, frontier = $5, root = $6, recorded_at = $7, catalogue_position = $8
    WHERE tenant = $1 AND size = $2 AND epoch = $3
    RETURNING tenant
), entries AS (
    INSERT INTO log_entries (tenant, position, recorded_at, stream, number, type, channel, purpose, topic, value,
                             source, application, entry, leaf_hash)
    SELECT moved.tenant, $2 + u.n - 1, $7, u.stream, u.number, u.type, u.channel, u.purpose, u.topic, u.value, u.source,
           u.application, substring($20::bytea FROM u.start FOR u.length), substring($21::bytea FROM u.n::int * 32 - 31 FOR 32)
    FROM moved, unnest($9::text::uuid[], $10::text::bigint[], $11::text::text[], $12::text::text[], $13::text::text[],
                       $14::text::text[], $15::text::text[], $16::text::text[], $17::text::text[], $18::text::int[],
                       $19::text::int[])
        WITH ORDINALITY AS u (stream, number, type, channel, purpose, topic, value, source, application, start, length, n)
), records AS (
    INSERT INTO idempotency_records (tenant, key_hash, command_digest, position, events)
    SELECT moved.tenant, substring($22::bytea FROM u.n::int * 16 - 15 FOR 16),
           substring($23::bytea FROM u.n::int * 8 - 7 FOR 8), u.position, u.events
    FROM moved, unnest($24::text::bigint[], $25::text::int[]) WITH ORDINALITY AS u (position, events, n)
), subjects AS (
    INSERT INTO vault_subjects (tenant, created_at, contact_point, channel, blind_index, wrapped_key, sealed_address,
                                first_position)
    SELECT moved.tenant, $7, u.contact_point, u.channel, substring($28::bytea FROM u.n::int * 16 - 15 FOR 16),
           substring($29::bytea FROM u.n::int * 60 - 59 FOR 60), substring($32::bytea FROM u.start FOR u.length), u.position
    FROM moved, unnest($26::text::uuid[], $27::text::text[], $30::text::int[], $31::text::int[], $33::text::bigint[])
        WITH ORDINALITY AS u (contact_point, channel, start, length, position, n)
), items AS (
    INSERT INTO vault_items (tenant, contact_point, position, sealed)
    SELECT moved.tenant, u.contact_point, u.position, substring($38::bytea FROM u.start FOR u.length)
    FROM moved, unnest($34::text::uuid[], $35::text::bigint[], $36::text::int[], $37::text::int[])
        AS u (contact_point, position, start, length)
), shown AS (
    INSERT INTO notices (tenant, digest, text)
    SELECT moved.tenant, substring($39::bytea FROM u.n::int * 32 - 31 FOR 32), u.text
    FROM moved, unnest($40::text[]) WITH ORDINALITY AS u (text, n)
    ON CONFLICT DO NOTHING
), nodes AS (
    INSERT INTO log_nodes (tenant, level, index, hash)
    SELECT moved.tenant, u.level, u.index, substring($43::bytea FROM u.n::int * 32 - 31 FOR 32)
    FROM moved, unnest($41::text::smallint[], $42::text::bigint[]) WITH ORDINALITY AS u (level, index, n)
)
-- projection
-- erasure
SELECT count(pg_notify('consentry_log', moved.tenant::text || ':' || $4::bigint::text)) FROM moved
