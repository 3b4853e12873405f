"""The collector of cycles, as a serving process has it."""

import gc

# A batch of 10,000 makes tens of thousands of objects, which are gone with its answer: not looked at before that, they cost
# the collector nothing. Documents that are given up are cycles: all of it is collected after 300,000 objects at the latest, or
# a flood of them would hold memory for long.
_COLLECT_AFTER = (100_000, 0, 0)


def leave_to_itself() -> None:
    """Let the collector pass over what stays until the end: it is most of what there is, and a batch of 10,000 makes enough
    objects to have all of it walked through several times.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
