"""Every projection, by name: what is written with each append, and what follows the log."""

from projections.inline import INLINE
from projections.projection import Projection
from projections.trends import CONSENT_TREND

FOLLOWERS: tuple[Projection, ...] = (CONSENT_TREND,)
PROJECTIONS = {projection.name: projection for projection in (*INLINE, *FOLLOWERS)}
