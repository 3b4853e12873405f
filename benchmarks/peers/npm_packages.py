"""Where the peers of npm are: versions and all are in `npm/`; `npm ci --ignore-scripts` in there installs them."""

from pathlib import Path

NPM = Path(__file__).with_name("npm")
HOW = f"npm ci --ignore-scripts --prefix {NPM.relative_to(Path(__file__).parents[2])}"
