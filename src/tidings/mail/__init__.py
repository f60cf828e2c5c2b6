"""Email as such: addresses, messages, templates and the SMTP conversation. Knows no database."""
