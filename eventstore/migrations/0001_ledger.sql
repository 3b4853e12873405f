-- The log, the vault of personal data and the read models that are written with every append.
-- Every key leads with the tenant; there is no sequence, no foreign key and no trigger that correctness needs,
-- so the tables can be distributed by tenant. The service's role inserts and reads; what it may update is listed below.

CREATE TABLE tenants (
    tenant int PRIMARY KEY,
    key text NOT NULL UNIQUE,
    wrapped_secret bytea NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE applications (
    tenant int NOT NULL,
    key text NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, key)
);

-- A key's secret has 256 random bits, so a plain SHA-256 of it cannot be searched.
CREATE TABLE api_keys (
    tenant int NOT NULL,
    key_id text NOT NULL,
    application text NOT NULL,
    secret_hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (tenant, key_id)
);

-- One row a tenant: the lock of its log. `epoch` is raised to fence off a writer whose outcome is unknown.
-- The low fill factor keeps the updates of this row within its page.
CREATE TABLE log_heads (
    tenant int PRIMARY KEY,
    size bigint NOT NULL,
    epoch bigint NOT NULL,
    frontier bytea NOT NULL,
    root bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    catalogue_position bigint NOT NULL
) WITH (fillfactor = 10);

-- `entry` is what was hashed, byte for byte; the columns between `position` and `entry` are indexes of what it says.
CREATE TABLE log_entries (
    tenant int NOT NULL,
    position bigint NOT NULL,
    stream uuid NOT NULL,
    number bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    type text NOT NULL,
    channel text,
    purpose text,
    topic text,
    value text,
    source text,
    application text,
    entry bytea NOT NULL,
    leaf_hash bytea NOT NULL,
    PRIMARY KEY (tenant, position)
);
ALTER TABLE log_entries ALTER COLUMN entry SET STORAGE EXTERNAL;
CREATE INDEX log_entries_by_stream ON log_entries (tenant, stream, position);

CREATE FUNCTION refuse_change_of_the_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER log_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_the_log();

-- (application, key) of a command is unique for ever: `key_hash` is keyed, and so is the digest of the command.
CREATE TABLE idempotency_records (
    tenant int NOT NULL,
    key_hash bytea NOT NULL,
    command_digest bytea NOT NULL,
    position bigint NOT NULL,
    events int NOT NULL,
    PRIMARY KEY (tenant, key_hash)
);

-- One row a contact point: its key (wrapped by the master key) and its address (sealed under its key).
CREATE TABLE vault_subjects (
    tenant int NOT NULL,
    contact_point uuid NOT NULL,
    channel text NOT NULL,
    blind_index bytea NOT NULL,
    wrapped_key bytea NOT NULL,
    sealed_address bytea NOT NULL,
    first_position bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, contact_point),
    UNIQUE (tenant, blind_index)
);

-- Personal evidence of an event, sealed under the key of its contact point.
CREATE TABLE vault_items (
    tenant int NOT NULL,
    contact_point uuid NOT NULL,
    position bigint NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (tenant, contact_point, position)
);

-- Texts of notices, by their SHA-256: what was shown to whoever consented.
CREATE TABLE notices (
    tenant int NOT NULL,
    digest bytea NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (tenant, digest)
);

-- Read model: the record that counts for each contact point, purpose, topic ('' = the purpose itself) and unit.
CREATE TABLE current_consent (
    tenant int NOT NULL,
    contact_point uuid NOT NULL,
    channel text NOT NULL,
    purpose text NOT NULL,
    topic text NOT NULL,
    unit text NOT NULL,
    value text NOT NULL,
    restrictiveness smallint NOT NULL,
    effective_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    valid_until timestamptz,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, contact_point, purpose, topic, unit)
);
CREATE INDEX vault_subjects_by_channel ON vault_subjects (tenant, channel, contact_point);

GRANT SELECT, INSERT ON tenants, applications, api_keys, log_entries, idempotency_records,
    vault_subjects, vault_items, notices TO consentry_service;
GRANT SELECT, INSERT, UPDATE ON log_heads, current_consent TO consentry_service;
GRANT UPDATE (revoked_at) ON api_keys TO consentry_service;
