-- append_nodes: roots of the tiles that became full.
, nodes AS (
    INSERT INTO log_nodes (tenant, level, index, hash)
    SELECT moved.tenant, u.level, u.index, substring(${}::bytea FROM u.n::int * 32 - 31 FOR 32)
    FROM moved, unnest(${}::text::smallint[], ${}::text::bigint[]) WITH ORDINALITY AS u (level, index, n)
)
