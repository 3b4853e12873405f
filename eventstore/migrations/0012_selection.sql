-- Read model of selecting by consent: one bit a contact point, at the log position of its first event, in chunks of 8,192
-- positions. `kind` says what a set bit means (see projections/selection.py); purpose, topic and unit are '' where it is about
-- the contact point as a whole. The low fill factor keeps an update of a chunk within its page.
CREATE TABLE selection_bits (
    tenant int NOT NULL,
    channel text NOT NULL,
    purpose text NOT NULL,
    topic text NOT NULL,
    unit text NOT NULL,
    kind text NOT NULL,
    chunk bigint NOT NULL,
    bits bit(8192) NOT NULL,
    PRIMARY KEY (tenant, channel, purpose, topic, unit, kind, chunk)
) WITH (fillfactor = 70);
-- A random chunk does not compress, and is small enough to stay beside its key.
ALTER TABLE selection_bits ALTER COLUMN bits SET STORAGE PLAIN;
ALTER TABLE selection_bits ALTER COLUMN tenant SET STATISTICS 0;

-- Up to which instant the bits take account of consent that has expired.
CREATE TABLE selection_expiry (
    tenant int PRIMARY KEY,
    expired_to timestamptz NOT NULL
);
CREATE INDEX current_consent_by_expiry ON current_consent (tenant, valid_until) WHERE valid_until IS NOT NULL;

-- Selection follows the order of first events; nothing lists contact points by id any more.
DROP INDEX vault_subjects_by_channel;

GRANT SELECT, INSERT, UPDATE ON selection_bits TO consentry_service;
GRANT SELECT, INSERT, UPDATE ON selection_expiry TO consentry_service;
