"""GitHub: pull requests, reviews and check runs through its REST API."""
