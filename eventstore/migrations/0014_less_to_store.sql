-- Evidence is kept by its event: in the order in which it comes, the key's index fills its pages, and has a column less. That of a
-- contact point is found by the events of its stream.
ALTER TABLE vault_items DROP CONSTRAINT vault_items_pkey;
ALTER TABLE vault_items ADD PRIMARY KEY (tenant, position) WITH (fillfactor = 100);

-- What is only ever added at the end of a tenant's part of an index leaves no room for what never comes in between.
ALTER INDEX log_entries_pkey SET (fillfactor = 100);
ALTER INDEX log_entries_opt_outs SET (fillfactor = 100);
ALTER INDEX vault_subjects_pkey SET (fillfactor = 100);
ALTER INDEX log_nodes_pkey SET (fillfactor = 100);
