-- append: move the head of a tenant's log from one known state to the next, and write all that comes with it.
-- Everything hangs on `moved`: where the head is not (size, epoch) as expected, no row is written anywhere and the
-- answer is 0. Arrays of numbers, ids and keys come as literals, and bytes as one piece out of which each row takes its part
-- (see append_statement), which costs a fraction of encoding each of their elements. What a group brings besides its entries
-- (append_*.sql, and the projections' own statements) takes the place of the line marked so; what it does not bring is left out.
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
)
-- parts
SELECT count(*) FROM moved
