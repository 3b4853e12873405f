"""The command-line face. Holds no rules."""
