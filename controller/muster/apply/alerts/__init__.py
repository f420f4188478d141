"""Telling people: an alert is a value, made purely; an outbox beside what it tells of; channels that take it at least
once. Nothing here is waited for by the loop.
"""
