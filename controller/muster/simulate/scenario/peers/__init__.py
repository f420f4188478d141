"""Policies that users have today, beside Muster in the same field.

Small reimplementations of the rule that decides, each with its source; not the products. All of them get Muster's
steps and its agents: devices try, confirm and roll back by themselves under every policy. What differs is who gets the
release next, and who stops it.
"""
