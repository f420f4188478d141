"""Samples for purposes that somebody consented to: taken beside inference, kept for a while, sent at no cost.

Rules of this package: without consent nothing is taken, at any moment; withdrawing erases here at once, and at the
server as soon as it answers; what waits is bounded in number, bytes and time; what is kept says nothing of who sent it;
and nothing here holds up an inference.
"""
