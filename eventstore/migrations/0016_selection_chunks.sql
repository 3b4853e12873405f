-- Which chunks of a selection's bits have changed since a count of them was kept (see projections/selection_counts.py).
-- The number of a tenant's last change of bits. Its row stays locked up to the commit, so numbers are committed in their order:
-- who sees one sees all smaller ones.
CREATE TABLE selection_versions (
    tenant int PRIMARY KEY,
    version bigint NOT NULL
);
-- By which change each chunk got what it holds; a chunk without a row has not changed since before there were numbers.
CREATE TABLE selection_chunks (
    tenant int NOT NULL,
    chunk bigint NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, chunk)
);
CREATE INDEX selection_chunks_by_version ON selection_chunks (tenant, version);
ALTER TABLE selection_chunks ALTER COLUMN tenant SET STATISTICS 0;

-- By trigger, so that no writer of bits can leave it out: neither an older process beside a newer one, nor a hand.
CREATE FUNCTION number_changed_chunks() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    WITH numbered AS (
        INSERT INTO selection_versions AS held (tenant, version)
        SELECT DISTINCT changed.tenant, 1 FROM changed ORDER BY 1
        ON CONFLICT (tenant) DO UPDATE SET version = held.version + 1
        RETURNING held.tenant, held.version
    )
    INSERT INTO selection_chunks (tenant, chunk, version)
    SELECT DISTINCT changed.tenant, changed.chunk, numbered.version FROM changed JOIN numbered USING (tenant)
    ON CONFLICT (tenant, chunk) DO UPDATE SET version = excluded.version;
    RETURN NULL;
END $$;
CREATE FUNCTION refuse_emptying_of_bits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'counts are kept of these bits: DELETE tells which, TRUNCATE does not';
END $$;
CREATE TRIGGER selection_bits_inserted AFTER INSERT ON selection_bits
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION number_changed_chunks();
CREATE TRIGGER selection_bits_updated AFTER UPDATE ON selection_bits
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION number_changed_chunks();
CREATE TRIGGER selection_bits_deleted AFTER DELETE ON selection_bits
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION number_changed_chunks();
CREATE TRIGGER selection_bits_not_emptied BEFORE TRUNCATE ON selection_bits
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_emptying_of_bits();

GRANT SELECT, INSERT, UPDATE ON selection_versions TO consentry_service;
GRANT SELECT, INSERT, UPDATE ON selection_chunks TO consentry_service;
