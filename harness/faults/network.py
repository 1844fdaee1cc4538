"""Network faults: Toxiproxy's toxics by their own names and attributes, and a proxy that is down.

The target names what stands behind the proxy: ``network.sqs``,
``network.redis``, or a stub dependency. Live runs hand the toxic to
Toxiproxy. A simulation has no bytes on a wire: it acts those toxics whose
effect on a whole request is known, and refuses the others.

The side follows from the toxic's ``stream``: upstream strikes requests
(before their effect), downstream answers (after it).
"""

from __future__ import annotations

from harness.faults.acts import Decision, Sleep
from harness.faults.kinds import Kind, Parameter, Passing
from harness.sim.verdicts import Lost, Refused, Reset, Slow

__all__ = ["KINDS", "TOXICS"]


def _down(passing: Passing) -> Decision:
    return Refused()


def _latency(passing: Passing) -> Decision | None:
    milliseconds = passing.parameters["latency"]
    return Slow(milliseconds / 1000) if milliseconds else None


def _timeout(passing: Passing) -> Decision:
    """Data are dropped; after *timeout* ms the connection is closed, at 0 never."""
    milliseconds = passing.parameters["timeout"]
    return Sleep(milliseconds / 1000, then=Reset()) if milliseconds else Lost()


def _reset_peer(passing: Passing) -> Decision:
    milliseconds = passing.parameters["timeout"]
    return Sleep(milliseconds / 1000, then=Reset()) if milliseconds else Reset()


def _silent(passing: Passing) -> Decision:
    """Accepted and never answered."""
    return Lost()


def _never(passing: Passing) -> None:
    return None


_STREAM = Parameter("stream", "stream", "downstream", "`upstream` (requests) or `downstream` (answers)")
_SOURCE = "Toxiproxy 2.12"
_OURS = "the embedded proxy's own toxic"
_BYTES = "a simulation moves whole requests and has no bytes on a wire; run it with --backend live"

KINDS = (
    Kind(
        name="down",
        layer="network",
        summary="The proxy is down: connections are cut and refused.",
        phrase="is cut off",
        decide=_down,
        source=_SOURCE,
    ),
    Kind(
        name="latency",
        layer="network",
        summary="Data are held back for a while. (A simulation leaves out the jitter.)",
        phrase="is {latency} ms slower ({stream})",
        decide=_latency,
        parameters=(
            Parameter("latency", "milliseconds", 1000, "the delay in milliseconds"),
            Parameter("jitter", "milliseconds", 0, "the delay varies by this much, in milliseconds"),
            _STREAM,
        ),
        source=_SOURCE,
    ),
    Kind(
        name="bandwidth",
        layer="network",
        summary="Data pass at this rate; at 0 not at all.",
        phrase="passes {rate} KB/s ({stream})",
        decide=_never,
        parameters=(Parameter("rate", "count", 10, "the rate in units of 1,000 bytes a second"), _STREAM),
        source=_SOURCE,
        live_only=_BYTES,
    ),
    Kind(
        name="slow_close",
        layer="network",
        summary="The end of a connection reaches the other side late.",
        phrase="closes {delay} ms late ({stream})",
        decide=_never,
        parameters=(Parameter("delay", "milliseconds", 1000, "how late, in milliseconds"), _STREAM),
        source=_SOURCE,
        live_only=_BYTES,
    ),
    Kind(
        name="timeout",
        layer="network",
        summary="Data are dropped, and the connection is closed after a while; at 0 it stays open and silent.",
        phrase="swallows data and closes after {timeout} ms ({stream}; 0: never)",
        decide=_timeout,
        parameters=(Parameter("timeout", "milliseconds", 0, "when it closes, in milliseconds; 0: never"), _STREAM),
        source=_SOURCE,
    ),
    Kind(
        name="reset_peer",
        layer="network",
        summary="Connections are reset once data arrive.",
        phrase="resets connections after {timeout} ms ({stream})",
        decide=_reset_peer,
        parameters=(Parameter("timeout", "milliseconds", 0, "how long after the data, in milliseconds"), _STREAM),
        source=_SOURCE,
    ),
    Kind(
        name="slicer",
        layer="network",
        summary="Data arrive in small pieces, with a pause between them.",
        phrase="slices data into pieces of about {average_size} bytes ({stream})",
        decide=_never,
        parameters=(
            Parameter("average_size", "size", 64, "the mean size of a piece in bytes"),
            Parameter("size_variation", "count", 0, "the size varies by this much; below the mean size"),
            Parameter("delay", "count", 1000, "the pause between pieces in microseconds"),
            _STREAM,
        ),
        source=_SOURCE,
        live_only=_BYTES,
    ),
    Kind(
        name="limit_data",
        layer="network",
        summary="A connection is closed after this many bytes.",
        phrase="closes after {bytes} bytes ({stream})",
        decide=_never,
        parameters=(Parameter("bytes", "count", 1024, "how many bytes"), _STREAM),
        source=_SOURCE,
        live_only=_BYTES,
    ),
    Kind(
        name="refuse",
        layer="network",
        summary="New connections are refused, open ones go on. (A simulation refuses every request.)",
        phrase="refuses new connections",
        decide=_down,
        source=_OURS,
    ),
    Kind(
        name="half_open",
        layer="network",
        summary="Connections are accepted and never answered: the peer is gone without a word.",
        phrase="accepts connections and never answers",
        decide=_silent,
        source=_OURS,
    ),
    Kind(
        name="slow_connect",
        layer="network",
        summary="A new connection takes longer to reach the server.",
        phrase="takes {delay} ms longer to connect to",
        decide=_never,
        parameters=(Parameter("delay", "milliseconds", 1000, "how much longer, in milliseconds"),),
        source=_OURS,
        live_only=_BYTES,
    ),
    Kind(
        name="packet_loss",
        layer="network",
        summary="Now and then data wait to be sent again, as they do when packets are lost.",
        phrase="loses {loss} of the packets ({stream})",
        decide=_never,
        parameters=(
            Parameter("loss", "share", 0.05, "the share of chunks that are lost, again and again"),
            Parameter("rto", "milliseconds", 200, "how long the first wait for a retransmission is, in milliseconds"),
            _STREAM,
        ),
        source=_OURS,
        live_only=_BYTES,
    ),
    Kind(
        name="reset_after",
        layer="network",
        summary="Connections are reset in mid-answer, after this many bytes.",
        phrase="resets connections after {bytes} bytes ({stream})",
        decide=_never,
        parameters=(Parameter("bytes", "count", 256, "how many bytes pass"), _STREAM),
        source=_OURS,
        live_only=_BYTES,
    ),
    Kind(
        name="corrupt",
        layer="network",
        summary="A bit of a byte is turned over now and then.",
        phrase="corrupts {rate} of the bytes ({stream})",
        decide=_never,
        parameters=(
            Parameter("rate", "share", 0.001, "the share of bytes that are spoilt"),
            Parameter("skip", "count", 0, "how many bytes of a connection are left alone"),
            _STREAM,
        ),
        source=_OURS,
        live_only=_BYTES,
    ),
)

#: The kinds that are toxics (all but ``down``).
TOXICS = tuple(kind.name for kind in KINDS if kind.name != "down")
