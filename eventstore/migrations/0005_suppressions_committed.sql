-- The certificate of an erasure commits to the blind index that its suppression is of: SHA-256(salt || blind index).
-- Null where the suppression is older than that.
ALTER TABLE suppressions ADD COLUMN salt bytea;
