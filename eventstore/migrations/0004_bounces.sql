-- Read model: contact points where a message bounced for good; everything is suppressed there until `ended_at`.
CREATE TABLE bounces (
    tenant int NOT NULL,
    contact_point uuid NOT NULL,
    bounced_at timestamptz NOT NULL,
    position bigint NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (tenant, contact_point)
);
GRANT SELECT, INSERT, UPDATE ON bounces TO consentry_service;
