"""Settings: the account, its keys and users, what was done, and the user's own."""
