"""Measuring an artifact for its evidence: how well it answers, what it costs, and how it runs on this machine.

Rules: a number says what it was measured on and beside what; what is compared is compared pair by pair, on the same
frames and in the same run; nothing random without a seed; what could not be measured is left out and said, never
guessed. Speed is only measured where somebody vouches for what kind of device this machine is.
"""
