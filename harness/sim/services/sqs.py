"""The in-memory SQS, as AWS has it, on whatever clock it is given.

=====================  ==========================================================
``sqs.py``             the service: one call of an operation by its name
``sqs_admin.py``       queues: create, list, attributes, tags, permissions, purge
``sqs_send.py``        sending, single and in batches
``sqs_receive.py``     receiving, deleting, changing visibility
``sqs_move.py``        tasks that move dead letters back
``sqs_core.py``        names, receipt handles, events, the dead-letter move
``sqs_queue.py``       the standard queue, and what both types share
``sqs_fifo.py``        the FIFO queue
``sqs_line.py``        the message, and the line that keeps messages by a key
``sqs_attributes.py``  a queue's attributes
``sqs_content.py``     bodies, message attributes, MD5s, sizes
``sqs_errors.py``      the errors
=====================  ==========================================================

Rules come from AWS's recorded answers where there are any, else from its
documentation; what neither says is marked in the code as not recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from harness.sim.services.errors import unknown_operation
from harness.sim.services.sqs_admin import Administration
from harness.sim.services.sqs_core import KeyOf, Parameters
from harness.sim.services.sqs_errors import SqsError
from harness.sim.services.sqs_move import Moving
from harness.sim.verdicts import Twist, Verdict

__all__ = ["KeyOf", "SqsError", "SqsService"]

_Operation: TypeAlias = Callable[["SqsService", Parameters, str, "Twist | None"], dict[str, Any]]


class SqsService(Administration, Moving):
    """Every queue of one account, in every region.

    ``call`` takes and returns what boto3 takes and returns, without
    ``ResponseMetadata``. From Python: ``create_queue``, ``queue_url``,
    ``put``, ``inventory``; ``key_of`` tells a message's key when it is sent.
    It is not safe under threads by itself: a server holds one lock round
    ``call`` and hands in a timebase that lets go of it while it waits.
    """

    def call(
        self, operation: str, parameters: dict[str, Any], *, region: str, twist: Verdict | None = None
    ) -> dict[str, Any]:
        """Carry out an operation.

        Raises:
            SqsError: SQS refuses the call.
            ServiceError: there is no such operation.
        """
        method = _OPERATIONS.get(operation)
        if method is None:
            raise unknown_operation(operation)
        return method(self, parameters, region, twist if isinstance(twist, Twist) else None)


_OPERATIONS: dict[str, _Operation] = {
    "AddPermission": SqsService._add_permission,
    "CancelMessageMoveTask": SqsService._cancel_message_move_task,
    "ChangeMessageVisibility": SqsService._change_message_visibility,
    "ChangeMessageVisibilityBatch": SqsService._change_message_visibility_batch,
    "CreateQueue": SqsService._create_queue,
    "DeleteMessage": SqsService._delete_message,
    "DeleteMessageBatch": SqsService._delete_message_batch,
    "DeleteQueue": SqsService._delete_queue,
    "GetQueueAttributes": SqsService._get_queue_attributes,
    "GetQueueUrl": SqsService._get_queue_url,
    "ListDeadLetterSourceQueues": SqsService._list_dead_letter_source_queues,
    "ListMessageMoveTasks": SqsService._list_message_move_tasks,
    "ListQueueTags": SqsService._list_queue_tags,
    "ListQueues": SqsService._list_queues,
    "PurgeQueue": SqsService._purge_queue,
    "ReceiveMessage": SqsService._receive_message,
    "RemovePermission": SqsService._remove_permission,
    "SendMessage": SqsService._send_message,
    "SendMessageBatch": SqsService._send_message_batch,
    "SetQueueAttributes": SqsService._set_queue_attributes,
    "StartMessageMoveTask": SqsService._start_message_move_task,
    "TagQueue": SqsService._tag_queue,
    "UntagQueue": SqsService._untag_queue,
}
