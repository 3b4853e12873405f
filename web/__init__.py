"""The HTTP face. Holds no rules."""
