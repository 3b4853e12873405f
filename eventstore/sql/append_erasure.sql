-- append_erasure: what a step of an erasure adds to the append, so that it happens with its event or not at all.
-- A request marks the contact point, and every check answers ERASED from then on. A completion leaves the suppression and
-- destroys the key: whatever was sealed under it is unreadable in every copy from then on, also where a row outlives it.
, requested AS (
    INSERT INTO erasures (tenant, contact_point, channel, created_at, first_position, requested_at, requested_position)
    SELECT s.tenant, s.contact_point, s.channel, s.created_at, s.first_position, $7, u.position
    FROM moved
    CROSS JOIN unnest(${}::text::uuid[], ${}::text::bigint[]) AS u (contact_point, position)
    JOIN vault_subjects s ON s.tenant = moved.tenant AND s.contact_point = u.contact_point
), marked AS (
    UPDATE vault_subjects s SET erasing = true
    FROM moved, unnest(${}::text::uuid[]) AS u (contact_point)
    WHERE s.tenant = moved.tenant AND s.contact_point = u.contact_point
), suppressed AS (
    INSERT INTO suppressions (tenant, blind_index, contact_point, since, covers, salt)
    SELECT s.tenant, s.blind_index, s.contact_point, $7, u.covers::jsonb, u.salt
    FROM moved
    CROSS JOIN unnest(${}::text::uuid[], ${}::text[], ${}::bytea[]) AS u (contact_point, covers, salt)
    JOIN vault_subjects s ON s.tenant = moved.tenant AND s.contact_point = u.contact_point
    WHERE u.covers IS NOT NULL
), completed AS (
    UPDATE erasures e SET erased_at = $7
    FROM moved, unnest(${}::text::uuid[]) AS u (contact_point)
    WHERE e.tenant = moved.tenant AND e.contact_point = u.contact_point
), emptied AS (
    DELETE FROM vault_items i USING moved, unnest(${}::text::uuid[]) AS u (contact_point), log_entries e
    WHERE e.tenant = moved.tenant AND e.stream = u.contact_point
      AND i.tenant = e.tenant AND i.position = e.position AND i.contact_point = u.contact_point
), destroyed AS (
    DELETE FROM vault_subjects s USING moved, unnest(${}::text::uuid[]) AS u (contact_point)
    WHERE s.tenant = moved.tenant AND s.contact_point = u.contact_point
)
