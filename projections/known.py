"""Every read model, by name: what is written with each append, and what follows the log."""

from projections.inline import INLINE
from projections.projection import Follower, Projection
from projections.selection import SELECTION
from projections.trends import CONSENT_TREND

FOLLOWERS: tuple[Follower, ...] = (CONSENT_TREND, SELECTION)
# Those that are a fold of the log alone, so that one made beside the table can be held against it.
PROJECTIONS: dict[str, Projection] = {projection.name: projection for projection in (*INLINE, CONSENT_TREND)}
