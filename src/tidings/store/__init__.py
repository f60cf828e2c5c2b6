"""The database as such: knows no noun. `db` for its callers, the rest behind it."""
