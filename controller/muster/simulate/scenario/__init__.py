"""A scenario, played: millions of simulated devices as arrays, the real planner, and virtual time.

A device is computed once when something is offered to it: when it sees the offer, how its download goes, whether the
release holds there, when each report arrives. What the planner is told at any time are sums over these times, so that
a tick costs O(classes × releases) and only a step of a rollout costs O(the devices that it touches).

From the bottom up: `draws` (randomness that depends on device and seed alone), `assignment` (the planner's bucket
arithmetic over arrays), `population`, `contact` (when a device can be reached), `trials` (a device and a release),
`field` (all of them), `aggregates` (what is told to the planner), `declared`, `muster_policy`, `peers`, `play`, `page`.
"""
