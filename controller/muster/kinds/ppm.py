"""Parts per million: what a share is counted in. Apart from the quantities, which need a library to be declared."""

PPM = 1_000_000
