"""What AWS SQS does, as numbered rules, each with its source and a case that tries it on any server.

=====================  ==========================================================
``rows.py``            a rule, its source, and how a case is written
``table.py``           every rule by number and by id
``known.py``           on which rules other servers differ
``page.py``            ``docs/sqs-fidelity.md``
``bench.py``           what a case works with: calls, waits, comparisons
``raw.py``             requests made by hand, in both protocols
``run.py``             the cases against a server
``recording.py``       what a server answered, as a file
``sqs_*.py``           the cases, one file a family
=====================  ==========================================================

The table needs the standard library only; a run needs boto3.
"""
