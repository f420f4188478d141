"""What devices said: inventory, reports, counts, and the storage under them."""
