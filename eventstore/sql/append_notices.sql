-- append_notices: texts that were shown, each kept once.
, shown AS (
    INSERT INTO notices (tenant, digest, text)
    SELECT moved.tenant, substring(${}::bytea FROM u.n::int * 32 - 31 FOR 32), u.text
    FROM moved, unnest(${}::text[]) WITH ORDINALITY AS u (text, n)
    ON CONFLICT DO NOTHING
)
