"""The v3 dialect and nothing else: it translates, calls one verb, shapes the answer."""
