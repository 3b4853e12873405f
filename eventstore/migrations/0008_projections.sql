-- What follows the log: how far each follower is, what it had to leave out, and what it keeps.

-- Written in the transaction of the follower's effect. `stopped` says why the event after `position` cannot be taken account of.
CREATE TABLE projection_checkpoints (
    tenant int NOT NULL,
    projection text NOT NULL,
    position bigint NOT NULL,
    stopped text,
    PRIMARY KEY (tenant, projection)
);

-- Events that a follower could not take account of and went on without.
CREATE TABLE parked_events (
    tenant int NOT NULL,
    projection text NOT NULL,
    position bigint NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (tenant, projection, position)
);

-- Read model: how many captures of each value took effect on each day (UTC), for each purpose with its topics.
CREATE TABLE consent_trend (
    tenant int NOT NULL,
    purpose text NOT NULL,
    day date NOT NULL,
    opted_in bigint NOT NULL,
    opted_out bigint NOT NULL,
    reset bigint NOT NULL,
    PRIMARY KEY (tenant, purpose, day)
);

-- Where projections are rebuilt, beside the tables that are read. Unlogged, all of them: after a crash of the database they are
-- empty together, and a rebuild starts again. The service's role has no business here.
CREATE UNLOGGED TABLE rebuild_positions (
    tenant int NOT NULL,
    projection text NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (tenant, projection)
);
CREATE UNLOGGED TABLE rebuilt_current_consent (LIKE current_consent INCLUDING INDEXES);
CREATE UNLOGGED TABLE rebuilt_persons_opt_ins (LIKE persons_opt_ins INCLUDING INDEXES);
CREATE UNLOGGED TABLE rebuilt_double_opt_in_requests (LIKE double_opt_in_requests INCLUDING INDEXES);
CREATE UNLOGGED TABLE rebuilt_bounces (LIKE bounces INCLUDING INDEXES);
CREATE UNLOGGED TABLE rebuilt_consent_trend (LIKE consent_trend INCLUDING INDEXES);

ALTER TABLE consent_trend ALTER COLUMN tenant SET STATISTICS 0;
GRANT SELECT, INSERT, UPDATE ON projection_checkpoints, consent_trend TO consentry_service;
GRANT SELECT, INSERT ON parked_events TO consentry_service;
