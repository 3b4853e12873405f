"""Personal data, and nothing else stores any: the keys, the blind index and the vault."""
