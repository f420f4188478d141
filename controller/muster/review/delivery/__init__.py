"""How well a fleet delivers: five measures, from git and the ledger."""
