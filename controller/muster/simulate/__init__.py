"""A fleet in memory, honest enough to judge the planner with: devices decide by the published documents alone."""
