-- Read model: the latest request at each level whose confirmation may be awaited.
CREATE TABLE double_opt_in_requests (
    tenant int NOT NULL,
    contact_point uuid NOT NULL,
    purpose text NOT NULL,
    topic text NOT NULL,
    requested_at timestamptz NOT NULL,
    position bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, contact_point, purpose, topic)
);
GRANT SELECT, INSERT, UPDATE ON double_opt_in_requests TO consentry_service;
