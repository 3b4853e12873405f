-- Current consent is updated at random places, and no index is of what changes: with room in its page an update stays there, and
-- writes no index. Pages that were full before keep none; a table that is rewritten, or grows, has it.
ALTER TABLE current_consent SET (fillfactor = 85);
