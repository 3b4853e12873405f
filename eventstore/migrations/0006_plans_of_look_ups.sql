-- Every look-up is by tenant and one more column. Where statistics know many small tenants, the planner takes the tenant alone
-- for enough, and reads all of one that has grown since. Without statistics of the tenant it always uses both.
ALTER TABLE log_entries ALTER COLUMN tenant SET STATISTICS 0;
ALTER TABLE idempotency_records ALTER COLUMN tenant SET STATISTICS 0;
ALTER TABLE vault_subjects ALTER COLUMN tenant SET STATISTICS 0;
ALTER TABLE vault_items ALTER COLUMN tenant SET STATISTICS 0;
ALTER TABLE current_consent ALTER COLUMN tenant SET STATISTICS 0;
