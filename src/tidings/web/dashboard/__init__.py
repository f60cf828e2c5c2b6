"""The owner's pages: sign-in and, for now, the Outbox."""
