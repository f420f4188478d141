"""Samples that devices send: taken, kept apart from who sent them, each content once, erased when asked or when due."""
