-- Who works on what, one worker at a time: `fence` grows with each that takes it, and never goes back, so rows stay.
CREATE TABLE leases (
    tenant int NOT NULL,
    name text NOT NULL,
    fence bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, name)
);
GRANT SELECT, INSERT ON leases TO consentry_service;
GRANT UPDATE (fence, expires_at) ON leases TO consentry_service;
