"""Judging what is declared: findings from values, without I/O, clock or randomness."""
