"""Peers, each as its own documentation sets it up, on the same PostgreSQL in the same run."""
