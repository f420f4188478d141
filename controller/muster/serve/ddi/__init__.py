"""hawkBit's Direct Device Integration API v1, for the update clients that fleets already have."""
