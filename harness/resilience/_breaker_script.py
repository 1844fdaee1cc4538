"""The script with which a shared breaker's state is asked and changed in Redis: one atomic operation a question."""

from __future__ import annotations

__all__ = ["KEYS", "QUESTION", "keys_of"]

#: Endings of the keys of one breaker: its state, the probes under way, and the calls that count.
KEYS = ("", ":probes", ":calls", ":failed", ":slow")


def keys_of(prefix: str, name: str) -> list[str]:
    """The keys of one breaker, all in one hash slot: the braces hold the whole name."""
    safe = f"{prefix}{name}".replace("{", "%7B").replace("}", "%7D")
    return [f"{{{safe}}}{ending}" for ending in KEYS]


# ARGV[1]: the question as JSON (see breaker_store.py), times in microseconds. Fields without a value are left out.
# The answer is a flat list: epoch, state in which it began, state, generation, mode, yes (1 or 0), failures, failed
# recoveries, microseconds of open time, how many are left of them (-1: time alone does not end it), and for each change
# that the asker does not know: generation, microseconds since 1970, before, after, reason.
QUESTION = """
local ask = cjson.decode(ARGV[1])
local hash, probes, calls, failed, slow = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local function text(number) return string.format('%.0f', number) end

local held = redis.call(
  'HMGET', hash, 'epoch', 'began', 'state', 'generation', 'mode', 'since', 'open_for', 'reopened', 'successes'
)
local s = {
  epoch = held[1], began = held[2], state = held[3], generation = tonumber(held[4] or 1), mode = held[5],
  since = tonumber(held[6] or now), open_for = tonumber(held[7] or 0), reopened = tonumber(held[8] or 0),
  successes = tonumber(held[9] or 0)
}
local known = ask.known
local dirty = false

-- Nothing is there, or less than the asker knows: a flush or a failover lost it. Another epoch begins with what the
-- asker knows. Nobody knows of probes under way any more: where there may be some, another open time is waited for.
if not s.epoch or (s.epoch == known.epoch and s.generation < known.generation) then
  redis.call('DEL', hash, probes, calls, failed, slow)
  s = {
    epoch = text(now), state = 'closed', generation = 1, mode = 'normal', since = now, open_for = 0, reopened = 0,
    successes = 0
  }
  if known.epoch ~= '' then
    s.state, s.mode, s.open_for, s.reopened = known.state, known.mode, known.open_for, known.reopened
    if s.state == 'half_open' then s.state = 'open' end
    if known.left > 0 then s.since = now - (known.open_for - known.left) end
  end
  s.began = s.state
  redis.call('HSET', hash, 'epoch', s.epoch, 'began', s.began)
  dirty = true
end
if s.since > now then  -- the server's clock went back: the time counts from now
  s.since = now
  dirty = true
end

local function change(after, reason)
  local before = s.state
  s.state, s.generation, s.since, s.successes = after, s.generation + 1, now, 0
  redis.call('DEL', probes, calls, failed, slow)
  if after == 'closed' then s.reopened = 0 end
  if after == 'open' then
    local grown = ask.limits.open_for * ask.limits.growth ^ s.reopened
    s.open_for = math.max(ask.limits.open_for, math.min(grown, ask.limits.open_max))
  end
  redis.call('HSET', hash, 'change:' .. text(s.generation), text(now) .. ' ' .. before .. ' ' .. after .. ' ' .. reason)
  redis.call('HDEL', hash, 'change:' .. text(s.generation - 8))
  dirty = true
end

local function reopen(reason)
  s.reopened = s.reopened + 1
  change('open', reason)
end

if s.mode == 'normal' and ask.kind == 'admit' then
  local early = ask.early and known.epoch == s.epoch and known.generation == s.generation
  if s.state == 'open' and now - s.since >= s.open_for and not early then
    change('half_open', 'recovery timeout passed')
  elseif s.state == 'half_open' then
    redis.call('ZREMRANGEBYSCORE', probes, '-inf', text(now))  -- of processes that died, or took too long
    if ask.limits.half_open and now - s.since >= ask.limits.half_open then
      reopen('the probes did not come back in time')
    end
  end
end

-- Counting

local function sizes(size, seconds)
  if seconds then
    for _, key in ipairs({calls, failed, slow}) do
      redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now - seconds))
    end
  end
  return redis.call('ZCARD', calls), redis.call('ZCARD', failed), redis.call('ZCARD', slow)
end

local function count_in_window(window)
  if redis.call('ZSCORE', calls, ask.call) then return end  -- the client library repeated the question
  local place = now
  if window.size then
    place = redis.call('HINCRBY', hash, 'calls', 1)
    for _, key in ipairs({calls, failed, slow}) do
      redis.call('ZREMRANGEBYSCORE', key, '-inf', text(place - window.size))
    end
  end
  redis.call('ZADD', calls, text(place), ask.call)
  if ask.outcome == 'failure' then redis.call('ZADD', failed, text(place), ask.call) end
  if ask.slow then redis.call('ZADD', slow, text(place), ask.call) end
  local all, bad, late = sizes(window.size, window.seconds)
  if all >= window.minimum then
    if bad / all >= window.failure_rate then
      change('open', text(bad) .. ' of ' .. text(all) .. ' calls failed')
    elseif window.slow_rate and late / all >= window.slow_rate then
      change('open', text(late) .. ' of ' .. text(all) .. ' calls were slow')
    end
  end
end

local function count_closed()
  if ask.outcome == 'ignored' then return end
  if ask.limits.window then return count_in_window(ask.limits.window) end
  if ask.outcome == 'success' then
    redis.call('DEL', failed)
    return
  end
  redis.call('ZADD', failed, text(now), ask.call)
  local count = redis.call('ZCARD', failed)
  if count >= ask.limits.threshold then change('open', text(count) .. ' consecutive failures') end
end

local function count_probe()
  if redis.call('ZREM', probes, ask.call) == 0 then return 0 end  -- its permit has passed to another, or told before
  if ask.outcome == 'failure' then
    reopen('a probe failed (' .. ask.error .. ')')
  elseif ask.outcome ~= 'ignored' and ask.slow then
    reopen('a probe was slow')
  elseif ask.outcome == 'success' then
    s.successes = s.successes + 1
    dirty = true
    if s.successes >= ask.limits.successes then change('closed', text(s.successes) .. ' probes succeeded') end
  end
  return 1
end

local yes = 0
if ask.kind == 'admit' then
  if s.state == 'closed' then
    yes = 1
  elseif s.state == 'half_open' then
    if redis.call('ZSCORE', probes, ask.call) or redis.call('ZCARD', probes) < ask.limits.permits then
      redis.call('ZADD', probes, text(now + ask.limits.permit), ask.call)
      yes = 1
    end
  end
elseif ask.kind == 'report' then
  if ask.epoch == s.epoch and ask.generation == s.generation then
    yes = 1
    if s.state == 'closed' then
      if s.mode == 'normal' then count_closed() end
    elseif s.state == 'half_open' then
      yes = count_probe()
    end
  end
elseif ask.kind == 'force' then
  if s.state ~= ask.state or s.mode ~= ask.mode then
    s.mode = ask.mode
    change(ask.state, ask.reason)
  else
    s.since = now
    if s.state == 'closed' then
      s.reopened = 0
      redis.call('DEL', calls, failed, slow)
    end
  end
  dirty, yes = true, 1
end

if dirty then
  redis.call(
    'HSET', hash, 'state', s.state, 'generation', text(s.generation), 'mode', s.mode, 'since', text(s.since),
    'open_for', text(s.open_for), 'reopened', text(s.reopened), 'successes', text(s.successes)
  )
end
-- What nobody asks for any more goes; what a person decided stays.
if dirty or ask.kind == 'report' then
  for _, key in ipairs(KEYS) do
    if s.mode == 'normal' then redis.call('PEXPIRE', key, ask.keep) else redis.call('PERSIST', key) end
  end
end

local left = -1
if s.state == 'open' and s.mode == 'normal' then left = math.max(0, s.since + s.open_for - now) end
local answer = {
  s.epoch, s.began, s.state, text(s.generation), s.mode, yes, redis.call('ZCARD', failed), text(s.reopened),
  text(s.open_for), text(left)
}
local first = known.epoch == s.epoch and known.generation + 1 or 2
for generation = math.max(first, s.generation - 7), s.generation do
  local line = redis.call('HGET', hash, 'change:' .. text(generation))
  if line then
    local at, before, after, reason = string.match(line, '^(%S+) (%S+) (%S+) (.*)$')
    for _, part in ipairs({text(generation), at, before, after, reason}) do table.insert(answer, part) end
  end
end
return answer
"""
