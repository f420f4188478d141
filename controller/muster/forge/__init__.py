"""Pull-request hosts: read a change and its reviews, post verdicts."""
