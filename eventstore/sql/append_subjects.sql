-- append_subjects: contact points that begin here.
, subjects AS (
    INSERT INTO vault_subjects (tenant, created_at, contact_point, channel, blind_index, wrapped_key, sealed_address,
                                first_position)
    SELECT moved.tenant, $7, u.contact_point, u.channel, substring(${}::bytea FROM u.n::int * 16 - 15 FOR 16),
           substring(${}::bytea FROM u.n::int * 60 - 59 FOR 60), substring(${}::bytea FROM u.start FOR u.length), u.position
    FROM moved, unnest(${}::text::int[], ${}::text::int[], ${}::text::uuid[], ${}::text::text[], ${}::text::bigint[])
        WITH ORDINALITY AS u (start, length, contact_point, channel, position, n)
)
