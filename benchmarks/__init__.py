"""What DESIGN promises, measured: `python -m benchmarks` prints each figure beside its promise, peers in the same run."""
