"""The transparency-log kernel (RFC 6962, C2SP): entries, trees, proofs, signed notes. Knows neither consent nor PostgreSQL."""
