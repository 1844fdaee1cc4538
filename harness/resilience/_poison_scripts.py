"""The poison detector's scripts. Each is one atomic operation on the server; all keys of one share a hash slot."""

from __future__ import annotations

__all__ = ["BY_NAME", "QUARANTINE_KEYS", "failure_keys"]

QUARANTINE_KEYS = ["poison_messages", "{poison_messages}:ids"]


def failure_keys(identity: str) -> list[str]:
    """The count and the times: in one hash slot, because the braces hold the whole name of the other key."""
    name = f"message_failures:{identity}"
    if "{" in name or "}" in name:  # would change which part of the name decides the slot
        name = name.replace("{", "%7B").replace("}", "%7D")
    return [name, f"{{{name}}}:times"]


# ARGV[1]: microseconds since 1970, or -1 for the server's own clock.
_NOW = """
local now = tonumber(ARGV[1])
if now < 0 then
  local clock = redis.call('TIME')
  now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
end
"""

# KEYS: the count (integer), the times (sorted set). ARGV: now, window, a name for this failure.
# The count was written by us as the size of the set. What it says beyond that size was counted by others: those
# failures join the set at the time of the last one, which their expiry tells.
_RECORD = (
    _NOW
    + """
local window = tonumber(ARGV[2])
local window_ms = math.ceil(window / 1000)
local known = redis.call('ZCARD', KEYS[2])
local count = redis.call('TYPE', KEYS[1])['ok'] == 'string' and tonumber(redis.call('GET', KEYS[1])) or 0
if count > known then
  local left = redis.call('PTTL', KEYS[1])
  local last = now
  if left > 0 and left < window_ms then last = now - (window_ms - left) * 1000 end
  for n = 1, math.min(count - known, 1000) do
    redis.call('ZADD', KEYS[2], string.format('%.0f', last), 'before:' .. string.format('%.0f', last) .. ':' .. n)
  end
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now - window))
redis.call('ZADD', KEYS[2], string.format('%.0f', now), ARGV[3])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1001)
local total = redis.call('ZCARD', KEYS[2])
redis.call('SET', KEYS[1], total, 'PX', window_ms)
redis.call('PEXPIRE', KEYS[2], window_ms)
return total
"""
)

# The same keys; changes nothing. ARGV: now, window.
_COUNT = (
    _NOW
    + """
local window = tonumber(ARGV[2])
local known = redis.call('ZCARD', KEYS[2])
local count = redis.call('TYPE', KEYS[1])['ok'] == 'string' and tonumber(redis.call('GET', KEYS[1])) or 0
local inside = redis.call('ZCOUNT', KEYS[2], '(' .. string.format('%.0f', now - window), '+inf')
return inside + math.max(0, count - known)
"""
)

# KEYS: the list, the ids (sorted set by the time at which their entries expire). ARGV[1]: now.
# Entries are pushed at the head, so the oldest are at the tail, among those that others wrote and that never expire.
_DROP_EXPIRED = """
local wanted, missing = {}, 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now), 'LIMIT', 0, 100)) do
  wanted[id] = true
  missing = missing + 1
  redis.call('ZREM', KEYS[2], id)
end
local dropped, place = 0, redis.call('LLEN', KEYS[1])
while missing > 0 and place > 0 do
  local first = math.max(0, place - 100)
  local part = redis.call('LRANGE', KEYS[1], first, place - 1)
  for n = #part, 1, -1 do
    local fine, entry = pcall(cjson.decode, part[n])
    local id = fine and type(entry) == 'table' and entry['messageId']
    if type(id) == 'string' and wanted[id] then
      wanted[id] = nil
      missing = missing - 1
      dropped = dropped + redis.call('LREM', KEYS[1], -1, part[n])
    end
  end
  place = first
end
"""

# ARGV: now, time to live, limit, message id, entry.
_QUARANTINE = (
    _NOW
    + _DROP_EXPIRED
    + """
if redis.call('ZSCORE', KEYS[2], ARGV[4]) then return {'present', dropped} end
if redis.call('LLEN', KEYS[1]) >= tonumber(ARGV[3]) then return {'full', dropped} end
redis.call('LPUSH', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[4])
return {'added', dropped}
"""
)

_EXPIRE = _NOW + _DROP_EXPIRED + "return dropped"

# ARGV: entry, message id.
_REMOVE = """
local removed = redis.call('LREM', KEYS[1], 1, ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return removed
"""

_PURGE = """
local removed = redis.call('LLEN', KEYS[1])
redis.call('DEL', KEYS[1], KEYS[2])
return removed
"""

BY_NAME = {
    "RECORD": _RECORD,
    "COUNT": _COUNT,
    "QUARANTINE": _QUARANTINE,
    "EXPIRE": _EXPIRE,
    "REMOVE": _REMOVE,
    "PURGE": _PURGE,
}
