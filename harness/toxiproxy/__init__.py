"""A Toxiproxy in Python: the same HTTP API and toxics, and those that its users keep asking for.

``server.py`` is the server, ``client.py`` a thin typed client for it and for a real
Toxiproxy, ``launcher.py`` starts either. ``docs/toxiproxy.md`` has the table of
deliberate differences.
"""
