"""The in-memory services behind the AWS protocols, on real sockets and a real clock: ``harness sqs-server``.

=====================  ==========================================================
``aws_server.py``      the server: an HTTP port, the services, their clock
``aws_requests.py``    requests of the AWS protocols: JSON, query, CBOR
``service_clock.py``   the clock of the services: real, frozen, faster, moved
``server_faults.py``   a fault plan, and LocalStack's rules, on a server
``server_history.py``  what happened, as a history that can be judged
``control.py``         the control API under ``/_harness/``
=====================  ==========================================================
"""
