"""The transparency-log kernel (RFC 6962): bytes and integers; it has heard neither of consent nor of PostgreSQL."""
