-- A key may be bound to a business unit: then it sees that and the units below it, and nothing that is about the whole log.
ALTER TABLE api_keys ADD COLUMN unit text;
ALTER TABLE api_keys ADD CONSTRAINT api_keys_of_a_unit_see_no_whole
    CHECK (unit IS NULL OR NOT scopes && ARRAY['audit', 'erase']);
