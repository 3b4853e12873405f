-- Nodes of the tree above the leaves, signed checkpoints, and what erasing a contact point needs.

-- The root of each full tile of 256 hashes: level 1 over leaves, level 2 over level 1, and so on. The leaves themselves are
-- log_entries.leaf_hash, so a tile of any level is a range of one of the two tables.
CREATE TABLE log_nodes (
    tenant int NOT NULL,
    level smallint NOT NULL,
    index bigint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (tenant, level, index)
);

-- What was signed: one root for each size, for ever.
CREATE TABLE checkpoints (
    tenant int NOT NULL,
    size bigint NOT NULL,
    root bytea NOT NULL,
    signed_at timestamptz NOT NULL,
    note text NOT NULL,
    verifier_key text NOT NULL,
    PRIMARY KEY (tenant, size)
);

CREATE TABLE cosignatures (
    tenant int NOT NULL,
    size bigint NOT NULL,
    verifier_key text NOT NULL,
    line text NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, size, verifier_key)
);

-- Between request and completion of an erasure: checks answer ERASED, and nothing is written for this address.
ALTER TABLE vault_subjects ADD COLUMN erasing boolean NOT NULL DEFAULT false;

-- What stays of an erased contact point. `erased_at` is null until its key is destroyed.
CREATE TABLE erasures (
    tenant int NOT NULL,
    contact_point uuid NOT NULL,
    channel text NOT NULL,
    created_at timestamptz NOT NULL,
    first_position bigint NOT NULL,
    requested_at timestamptz NOT NULL,
    requested_position bigint NOT NULL,
    erased_at timestamptz,
    PRIMARY KEY (tenant, contact_point)
);
CREATE INDEX erasures_pending ON erasures (tenant) WHERE erased_at IS NULL;

-- What still blocks an address: `covers` is the suppression of the erased contact point's certificate.
CREATE TABLE suppressions (
    tenant int NOT NULL,
    blind_index bytea NOT NULL,
    contact_point uuid NOT NULL,
    since timestamptz NOT NULL,
    covers jsonb NOT NULL,
    PRIMARY KEY (tenant, blind_index, contact_point)
);

-- Read model: the latest effectiveAt of an OPTED_IN that came from the person, which ends a suppression at that level.
CREATE TABLE persons_opt_ins (
    tenant int NOT NULL,
    contact_point uuid NOT NULL,
    purpose text NOT NULL,
    topic text NOT NULL,
    effective_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, contact_point, purpose, topic)
);

INSERT INTO persons_opt_ins (tenant, contact_point, purpose, topic, effective_at)
SELECT tenant, stream, purpose, coalesce(topic, ''), max((said ->> 'effectiveAt')::timestamptz)
FROM log_entries, LATERAL (SELECT convert_from(entry, 'UTF8')::jsonb) AS decoded (said)
WHERE type = 'ConsentCaptured' AND value = 'OPTED_IN' AND said ->> 'actor' = 'RECIPIENT'
GROUP BY 1, 2, 3, 4;

-- The nodes of logs that were there before: eight times, each two neighbours become one.
DO $$
DECLARE
    tile_level int := 1;
BEGIN
    CREATE TEMPORARY TABLE hashes ON COMMIT DROP AS
        SELECT tenant, position AS index, leaf_hash AS hash FROM log_entries;
    WHILE EXISTS (SELECT FROM hashes) LOOP
        FOR step IN 1..8 LOOP
            CREATE TEMPORARY TABLE merged ON COMMIT DROP AS
                SELECT l.tenant, l.index / 2 AS index, sha256('\x01'::bytea || l.hash || r.hash) AS hash
                FROM hashes l JOIN hashes r ON r.tenant = l.tenant AND r.index = l.index + 1
                WHERE l.index % 2 = 0;
            DROP TABLE hashes;
            ALTER TABLE merged RENAME TO hashes;
        END LOOP;
        INSERT INTO log_nodes (tenant, level, index, hash) SELECT tenant, tile_level, index, hash FROM hashes;
        tile_level := tile_level + 1;
    END LOOP;
    DROP TABLE hashes;
END $$;

GRANT SELECT, INSERT ON log_nodes, checkpoints, cosignatures, suppressions TO consentry_service;
GRANT SELECT, INSERT, UPDATE ON persons_opt_ins TO consentry_service;
GRANT SELECT, INSERT ON erasures TO consentry_service;
GRANT UPDATE (erased_at) ON erasures TO consentry_service;
GRANT DELETE ON vault_subjects, vault_items TO consentry_service;
GRANT UPDATE (erasing) ON vault_subjects TO consentry_service;
