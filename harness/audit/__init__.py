"""What the settings of queues, and of the functions behind them, do to messages when something fails.

``estate.py``          queues, functions, mappings and alarms, whatever they were read from
``cloudformation.py``  reads a CloudFormation or SAM template
``terraform.py``       reads ``terraform show -json``
``aws.py``             reads the queues themselves
``rules.py``           the rules, each with AWS's own source and what shows the damage
``changes.py``         the exact change, as the template, the configuration or the command line has it
``queues.py``          the queues of a template as a scenario's: ``from_template``
"""

from harness.audit.estate import Alarm, Estate, Function, Mapping, QueueSettings
from harness.audit.queues import from_template
from harness.audit.rules import RULES, Audit, Finding, Rule, Unjudged, audit

__all__ = [
    "RULES",
    "Alarm",
    "Audit",
    "Estate",
    "Finding",
    "Function",
    "Mapping",
    "QueueSettings",
    "Rule",
    "Unjudged",
    "audit",
    "from_template",
]
