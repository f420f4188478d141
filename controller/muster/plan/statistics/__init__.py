"""Statistics that may be looked at all the time: from counts to a verdict.

Rules of this package:

- A verdict is a function of counts and of nothing else. No order of arrival, no number of looks, no clock goes in, so
  that the same reports give the same verdict in any order, after any restart, on any replica.
- Every test is an e-process: a number that starts at 1 and whose chance of ever reaching 1/α is at most α while the
  release does no harm (Ville's inequality: J. Ville, *Étude critique de la notion de collectif*, 1939). It may be
  looked at after every report, and a look costs nothing.
- *Harm* and *no worse* are two tests of one boundary. Each is given the reading of unfinished trials that speaks
  against it (`counts.py`), so that silence and delay can only leave a question open.

From the bottom up: `counts` (what is counted), `tilting` (the one mixture that all tests of shares are), `rates`,
`means`, `quantiles` (one question each), `sample_ratio` (may the counts be believed?), `questions` and `decide`
(counts → verdict), `explain` (bounds, and what would change it), `family` (several verdicts, one error).
"""
