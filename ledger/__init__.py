"""The use cases, one module each: the only place where rules, log and read models meet."""
