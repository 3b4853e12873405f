-- append_suppressions: what suppressions that were brought in with a file add to the append. Each names its address by blind
-- index; `contact_point` is the id of its event, since whom it was left of is another tenant's. Where no contact point has the
-- address, the event's stream is told as an erased one's from then on.
, brought AS (
    INSERT INTO suppressions (tenant, blind_index, contact_point, since, covers, salt)
    SELECT moved.tenant, u.blind_index, u.event_id, u.since, u.covers::jsonb, u.salt
    FROM moved, unnest(${}::bytea[], ${}::uuid[], ${}::timestamptz[], ${}::text[], ${}::bytea[])
        AS u (blind_index, event_id, since, covers, salt)
), of_nobody AS (
    INSERT INTO erasures
        (tenant, contact_point, channel, created_at, first_position, requested_at, requested_position, erased_at)
    SELECT moved.tenant, u.contact_point, u.channel, $7, u.position, $7, u.position, $7
    FROM moved, unnest(${}::uuid[], ${}::text[], ${}::bigint[]) AS u (contact_point, channel, position)
)
