"""The environment "live": the same scenario with real processes, real sockets and real time.

=====================  ==========================================================
``run.py``             one run: builds it, drives it to its end, takes it apart
``options.py``         which servers it uses, and how fast the clock runs
``services.py``        SQS and Redis: started here, or somebody else's by URL
``other_sqs.py``       an SQS server of somebody else's, whose history its clients tell
``redis_tap.py``       what happens in a real redis-server, seen from outside
``network.py``         proxies in front of them, and the faults of the network
``stubs.py``           the stub HTTP dependencies, with their faults
``processes.py``       consumers: started, killed, stopped, started again
``channel.py``         what consumers tell the run, and ask it
``worker.py``          the main program of a consumer's process
``clock.py``           real time as a fault engine sees it
``recorder.py``        events from everywhere, put in order at the end
``sender.py``          the workload
=====================  ==========================================================
"""
