"""The doors: HTTP in, HTTP out. Nothing here decides what a subscriber is."""
