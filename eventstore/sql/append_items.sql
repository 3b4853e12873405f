-- append_items: personal evidence, sealed.
, items AS (
    INSERT INTO vault_items (tenant, contact_point, position, sealed)
    SELECT moved.tenant, u.contact_point, u.position, substring(${}::bytea FROM u.start FOR u.length)
    FROM moved, unnest(${}::text::int[], ${}::text::int[], ${}::text::uuid[], ${}::text::bigint[])
        AS u (start, length, contact_point, position)
)
