"""Read models, each built from events alone. The fold is pure, the rest is bookkeeping."""
