"""The log on PostgreSQL and the vault of personal data. Knows entries, streams and positions, not what consent is."""
