-- append_lookup: all that a group of commands must know before it is decided, in one snapshot and one round trip:
-- the head, the contact points by blind index with the last event of each, the streams named outright, and the
-- idempotency records. LIMIT 1 keeps each look-up an index probe of its own, whatever the planner knows of the tables.
-- A parameter in a SELECT of its own hides how many there are from the planner: a plan made for few would look cheaper than the
-- one for any number, and PostgreSQL would plan the statement anew each time (docs/decisions/planned-once.md).
SELECT
    head.size, head.epoch, head.frontier, head.root, head.recorded_at, head.catalogue_position,
    ARRAY(
        SELECT ROW (asked.blind_index, subject.contact_point, subject.wrapped_key, latest.number, latest.position,
                    subject.erasing)
        FROM unnest((SELECT $2::text::bytea[])) AS asked (blind_index)
        CROSS JOIN LATERAL (
            SELECT s.contact_point, s.wrapped_key, s.erasing FROM vault_subjects s
            WHERE s.tenant = $1 AND s.blind_index = asked.blind_index LIMIT 1
        ) AS subject
        CROSS JOIN LATERAL (
            SELECT e.number, e.position FROM log_entries e
            WHERE e.tenant = $1 AND e.stream = subject.contact_point ORDER BY e.position DESC LIMIT 1
        ) AS latest
    ) AS subjects,
    ARRAY(
        SELECT ROW (asked.stream, latest.number, latest.position)
        FROM unnest((SELECT $3::uuid[])) AS asked (stream)
        CROSS JOIN LATERAL (
            SELECT e.number, e.position FROM log_entries e
            WHERE e.tenant = $1 AND e.stream = asked.stream ORDER BY e.position DESC LIMIT 1
        ) AS latest
    ) AS streams,
    ARRAY(
        SELECT ROW (asked.key_hash, record.command_digest, record.position, record.events)
        FROM unnest((SELECT $4::text::bytea[])) AS asked (key_hash)
        CROSS JOIN LATERAL (
            SELECT r.command_digest, r.position, r.events FROM idempotency_records r
            WHERE r.tenant = $1 AND r.key_hash = asked.key_hash LIMIT 1
        ) AS record
    ) AS records,
    -- The contact points among the streams named outright: whether each is there, and is being erased.
    ARRAY(
        SELECT ROW (asked.stream, subject.erasing, subject.blind_index)
        FROM unnest((SELECT $3::uuid[])) AS asked (stream)
        CROSS JOIN LATERAL (
            SELECT s.erasing, s.blind_index FROM vault_subjects s
            WHERE s.tenant = $1 AND s.contact_point = asked.stream LIMIT 1
        ) AS subject
    ) AS named_subjects
FROM log_heads head
WHERE head.tenant = $1
