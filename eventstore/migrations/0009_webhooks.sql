-- Webhooks: where events are sent, how far each has come, and who changed what. `sealed_url` and `sealed` are under the master key: a
-- URL may hold a credential. `version` grows with each change, and whoever delivers by an older one stops; `round` with each redelivery.
CREATE TABLE webhooks (
    tenant int NOT NULL,
    webhook uuid NOT NULL,
    application text NOT NULL,
    origin text NOT NULL,
    sealed_url bytea NOT NULL,
    filter text NOT NULL,
    personal boolean NOT NULL,
    status text NOT NULL,
    version int NOT NULL,
    round int NOT NULL,
    -- Everything up to here is delivered, filtered out, or among the unfinished.
    position bigint NOT NULL,
    held_position bigint,
    held_because text,
    held_at timestamptz,
    delivered bigint NOT NULL,
    failed bigint NOT NULL,
    created_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (tenant, webhook)
);

-- Each change: when, by which application, why. Never with a URL or a secret.
CREATE TABLE webhook_changes (
    tenant int NOT NULL,
    webhook uuid NOT NULL,
    version int NOT NULL,
    changed_at timestamptz NOT NULL,
    application text,
    kind text NOT NULL,
    details text NOT NULL,
    reason text,
    PRIMARY KEY (tenant, webhook, version)
);

-- Every secret that still signs; one that was replaced does so until `valid_until`.
CREATE TABLE webhook_secrets (
    tenant int NOT NULL,
    webhook uuid NOT NULL,
    number int NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    valid_until timestamptz,
    PRIMARY KEY (tenant, webhook, number)
);

-- Events that were read and are not delivered: a few for each webhook, since no more are read then.
CREATE TABLE webhook_unfinished (
    tenant int NOT NULL,
    webhook uuid NOT NULL,
    position bigint NOT NULL,
    attempts int NOT NULL,
    first_failed_at timestamptz,
    next_attempt_at timestamptz,
    said text,
    PRIMARY KEY (tenant, webhook, position)
);

-- What a receiver took, and when: each row says that its application knows of the event.
CREATE TABLE webhook_deliveries (
    tenant int NOT NULL,
    webhook uuid NOT NULL,
    position bigint NOT NULL,
    round int NOT NULL,
    delivered_at timestamptz NOT NULL,
    attempts int NOT NULL,
    status int NOT NULL,
    PRIMARY KEY (tenant, webhook, position, round)
);

-- How far each application says that it knows the log, now and at each time that it said so.
CREATE TABLE acknowledgement_heads (
    tenant int NOT NULL,
    application text NOT NULL,
    position bigint NOT NULL,
    acknowledged_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, application)
);
CREATE TABLE acknowledgements (
    tenant int NOT NULL,
    application text NOT NULL,
    position bigint NOT NULL,
    acknowledged_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, application, position)
);

-- The first answers of commands that write no event: their idempotency record has none either.
CREATE TABLE idempotent_answers (
    tenant int NOT NULL,
    key_hash bytea NOT NULL,
    answer text NOT NULL,
    PRIMARY KEY (tenant, key_hash)
);

-- Read by tenant and one more column, as the log is.
ALTER TABLE webhook_deliveries ALTER COLUMN tenant SET STATISTICS 0;
ALTER TABLE webhook_deliveries ALTER COLUMN webhook SET STATISTICS 0;
ALTER TABLE acknowledgements ALTER COLUMN tenant SET STATISTICS 0;
ALTER TABLE acknowledgements ALTER COLUMN application SET STATISTICS 0;

GRANT SELECT, INSERT ON webhooks, webhook_changes, webhook_secrets, webhook_unfinished, webhook_deliveries,
    acknowledgement_heads, acknowledgements, idempotent_answers TO consentry_service;
GRANT UPDATE (origin, sealed_url, filter, personal, status, version, round, position, held_position, held_because, held_at,
    delivered, failed, deleted_at) ON webhooks TO consentry_service;
GRANT UPDATE (valid_until) ON webhook_secrets TO consentry_service;
GRANT UPDATE (attempts, first_failed_at, next_attempt_at, said) ON webhook_unfinished TO consentry_service;
GRANT UPDATE (position, acknowledged_at) ON acknowledgement_heads TO consentry_service;
GRANT DELETE ON webhook_secrets, webhook_unfinished TO consentry_service;
