"""Sockets on one thread: the event loop and the HTTP server that the harness's own servers are built on.

``reactor.py`` waits for sockets and timers, ``http_server.py`` speaks HTTP/1.1 on it. ``child.py`` starts servers in
processes of their own, ``guard.py`` those of others, so that none outlives who started it.
Real time and real sockets: nothing of a simulation comes here.
"""
