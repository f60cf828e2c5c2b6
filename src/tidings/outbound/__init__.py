"""The one way out over HTTP: every fetch of an address that somebody typed goes through here.

`client.Outbound` connects only to addresses that `addresses` allows: what is private, local or
special is reached only where TIDINGS_WEBHOOK_ALLOW names its network. Owns no tables.
"""
