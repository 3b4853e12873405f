-- Imports that can be resumed: by the keyed hash of an idempotency key, from which position of the log on their rows are
-- their own, and keyed digests of what was asked, of how the file begins, and of the whole file once it has come in whole.
CREATE TABLE import_runs (
    tenant int NOT NULL,
    key_hash bytea NOT NULL,
    command_digest bytea NOT NULL,
    since bigint NOT NULL,
    head_digest bytea,
    body_digest bytea,
    PRIMARY KEY (tenant, key_hash)
);
GRANT SELECT, INSERT, UPDATE (head_digest, body_digest) ON import_runs TO consentry_service;
