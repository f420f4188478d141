"""One rebuilder: takes releases without its verdict, builds them again, and publishes what came out.

`queue` says who comes first, `attempts` what is tried again and when, `log` what happened, and `rebuilder` is the loop.
Where releases come from and verdicts go is the matter of its desk.
"""
