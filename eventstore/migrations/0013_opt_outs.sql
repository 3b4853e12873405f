-- Opt-outs by position: whoever looks at their clocks pages through them alone, however few they are among the entries.
CREATE INDEX log_entries_opt_outs ON log_entries (tenant, position) WHERE value = 'OPTED_OUT';
