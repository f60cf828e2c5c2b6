"""What strangers reach without a key: forms, their embeds, confirmation pages, static files."""
