"""Redis faults: the server refuses, stays silent, cannot write, or loses what it was given.

The flags of commands (which write, which need memory) are those of Redis
8's own command table (``COMMAND INFO``: ``write``, ``denyoom``).
"""

from __future__ import annotations

from harness.faults.acts import Decision, Failover, Flush
from harness.faults.kinds import Kind, Parameter, Passing
from harness.faults.names import words
from harness.sim.verdicts import Answer, Lost, Refused

__all__ = ["COMMANDS", "KINDS"]

#: Commands with the flag ``denyoom``: refused when memory is spent. EVAL and EVALSHA where their script writes.
_NEED_MEMORY = words(
    """
    APPEND BITFIELD BITOP BLMOVE BRPOPLPUSH COPY DECR DECRBY EVAL EVALSHA FCALL FUNCTION GEOADD GEORADIUS
    GEORADIUSBYMEMBER GEOSEARCHSTORE GETSET HINCRBY HINCRBYFLOAT HMSET HSET HSETEX HSETNX INCR INCRBY INCRBYFLOAT
    LINSERT LMOVE LPUSH LPUSHX LSET MSET MSETEX MSETNX PFADD PFMERGE PSETEX RESTORE RPOPLPUSH RPUSH RPUSHX SADD
    SDIFFSTORE SET SETBIT SETEX SETNX SETRANGE SINTERSTORE SORT SUNIONSTORE VADD XADD XGROUP ZADD ZDIFFSTORE ZINCRBY
    ZINTERSTORE ZRANGESTORE ZUNIONSTORE
    """
)

#: Commands with the flag ``write``: refused by a replica.
_WRITE = _NEED_MEMORY | words(
    """
    BLMPOP BLPOP BRPOP BZMPOP BZPOPMAX BZPOPMIN DEL EXPIRE EXPIREAT FLUSHALL FLUSHDB GETDEL GETEX HDEL HEXPIRE
    HEXPIREAT HGETDEL HGETEX HPERSIST HPEXPIRE HPEXPIREAT LMPOP LPOP LREM LTRIM MOVE PERSIST PEXPIRE PEXPIREAT RENAME
    RENAMENX RPOP SMOVE SPOP SREM SWAPDB UNLINK VREM VSETATTR XACK XACKDEL XAUTOCLAIM XCLAIM XDEL XDELEX XREADGROUP
    XTRIM ZMPOP ZPOPMAX ZPOPMIN ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE
    """
)

_READ = words(
    """
    BITCOUNT BITFIELD_RO BITPOS DBSIZE DUMP EVALSHA_RO EVAL_RO EXISTS EXPIRETIME FCALL_RO GEODIST GEOHASH GEOPOS
    GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GET GETBIT GETRANGE HEXISTS HEXPIRETIME HGET HGETALL HKEYS HLEN HMGET
    HPEXPIRETIME HPTTL HRANDFIELD HSCAN HSTRLEN HTTL HVALS KEYS LCS LINDEX LLEN LOLWUT LPOS LRANGE MEMORY MGET OBJECT
    PEXPIRETIME PFCOUNT PTTL RANDOMKEY SCAN SCARD SDIFF SINTER SINTERCARD SISMEMBER SMEMBERS SMISMEMBER SORT_RO
    SRANDMEMBER SSCAN STRLEN SUBSTR SUNION TOUCH TTL TYPE VCARD VDIM VEMB VGETATTR VINFO VISMEMBER VLINKS VRANDMEMBER
    VRANGE VSIM XINFO XLEN XPENDING XRANGE XREAD XREVRANGE ZCARD ZCOUNT ZDIFF ZINTER ZINTERCARD ZLEXCOUNT ZMSCORE
    ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANK ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE
    ZUNION
    """
)

_OTHER = words(
    """
    ACL ASKING AUTH BGREWRITEAOF BGSAVE CLIENT CLUSTER COMMAND CONFIG CONNECT DEBUG DISCARD ECHO EXEC FAILOVER HELLO
    INFO LASTSAVE LATENCY MODULE MONITOR MULTI PING PSUBSCRIBE PSYNC PUBLISH PUBSUB PUNSUBSCRIBE QUIT READONLY
    READWRITE REPLICAOF RESET ROLE SAVE SCRIPT SELECT SHUTDOWN SLAVEOF SLOWLOG SPUBLISH SSUBSCRIBE SUBSCRIBE
    SUNSUBSCRIBE SYNC TIME UNSUBSCRIBE UNWATCH WAIT WAITAOF WATCH
    """
)

#: Every command that may stand in a target, and ``CONNECT`` for the making of a connection.
COMMANDS = _WRITE | _READ | _OTHER

#: Commands that a server answers while it loads its data (flag ``loading``).
_WHILE_LOADING = words(
    """
    ACL AUTH CLIENT COMMAND CONFIG DISCARD ECHO EXEC HELLO INFO LASTSAVE MULTI PSUBSCRIBE PUBLISH PUBSUB PUNSUBSCRIBE
    QUIT REPLICAOF RESET ROLE SELECT SHUTDOWN SLOWLOG SPUBLISH SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE TIME UNSUBSCRIBE
    UNWATCH WATCH CONNECT
    """
)


def _refused(passing: Passing) -> Decision:
    return Refused()


def _timeout(passing: Passing) -> Decision:
    return Lost()


def _loading(passing: Passing) -> Decision:
    return Answer(0, "LOADING", "LOADING Redis is loading the dataset in memory")


def _readonly(passing: Passing) -> Decision:
    return Answer(0, "READONLY", "READONLY You can't write against a read only replica.")


def _out_of_memory(passing: Passing) -> Decision:
    return Answer(0, "OOM", "OOM command not allowed when used memory > 'maxmemory'.")


def _flushed(passing: Passing) -> Decision:
    return Flush()


def _failover(passing: Passing) -> Decision:
    return Failover(passing.parameters["lost_seconds"])


_SERVER_C = "Redis 8, src/server.c, shared error replies"

KINDS = (
    Kind(
        name="refused",
        layer="redis",
        summary="The connection is cut and cannot be made again.",
        phrase="refuses connections",
        decide=_refused,
        source="connect(2): ECONNREFUSED",
    ),
    Kind(
        name="timeout",
        layer="redis",
        summary="No reply comes until the client's own timeout; before: the command was lost, after: it took effect.",
        phrase={
            "before": "loses the command, so that clients time out",
            "after": "carries the command out, the reply is lost",
        },
        decide=_timeout,
        sides=("before", "after"),
    ),
    Kind(
        name="loading",
        layer="redis",
        summary="The server has been restarted and is still loading its data: commands that need them are refused.",
        phrase="is loading its data and refuses",
        decide=_loading,
        operations=COMMANDS - _WHILE_LOADING,
        source=_SERVER_C,
    ),
    Kind(
        name="readonly",
        layer="redis",
        summary="The server is a replica now: commands that write are refused, others are not.",
        phrase="is a read-only replica",
        decide=_readonly,
        operations=_WRITE,
        source=_SERVER_C,
    ),
    Kind(
        name="out-of-memory",
        layer="redis",
        summary="The server's memory is spent: commands that need more are refused, others are not.",
        phrase="is out of memory",
        decide=_out_of_memory,
        operations=_NEED_MEMORY,
        source=_SERVER_C,
    ),
    Kind(
        name="flushed",
        layer="redis",
        summary="Everything that the server holds is deleted, once: when the window opens, or at the chosen passing.",
        phrase="loses all its data",
        decide=_flushed,
        once=True,
    ),
    Kind(
        name="failover",
        layer="redis",
        summary="The server fails over, once, to a replica that lacks the last writes, and cuts every connection.",
        phrase="fails over and loses the writes of the last {lost_seconds} s",
        decide=_failover,
        parameters=(Parameter("lost_seconds", "seconds", 1.0, "how many seconds of writes are lost"),),
        once=True,
        source="Redis documentation, Replication: asynchronous by default, acknowledged writes can be lost",
    ),
)
