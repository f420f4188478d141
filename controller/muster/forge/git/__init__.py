"""Plain git as a forge: commit messages, signed approvals and verdicts in notes. No server at all."""
