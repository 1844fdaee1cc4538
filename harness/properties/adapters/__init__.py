"""Ready contracts for known libraries, and for our own components; each library is imported when it is asked for.

::

    harness probe breaker harness.properties.adapters.pybreaker:breaker

A contract states what the library documents for the arguments given to it.
"""
