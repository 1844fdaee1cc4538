"""The proxies of a server by name, and the calls that change several at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from harness.toxiproxy import errors
from harness.toxiproxy.chain import DIRECTIONS, Toxic
from harness.toxiproxy.errors import ApiError
from harness.toxiproxy.go_json import read_fields
from harness.toxiproxy.proxy import Proxy, Surroundings, check_names

__all__ = ["PROXY_FIELDS", "Collection", "PopulateError"]

PROXY_FIELDS: Final = {"name": "string", "listen": "string", "upstream": "string", "enabled": "bool"}
_WANTED_FIELDS: Final = {**PROXY_FIELDS, "toxics": "array"}


class PopulateError(ApiError):
    """``proxies``: those that were made before the one that could not be."""

    def __init__(self, error: ApiError, proxies: list[Proxy] | None) -> None:
        super().__init__(error.status, error.message)
        self.proxies = proxies


@dataclass(frozen=True)
class _Wanted:
    """A proxy as :meth:`Collection.apply` is to leave it. ``toxics`` None: as they are."""

    name: str
    listen: str | None
    upstream: str
    enabled: bool
    toxics: list[Toxic] | None


class Collection:
    """Everything here belongs to the reactor's thread."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self.proxies: dict[str, Proxy] = {}

    def get(self, name: str) -> Proxy:
        """Raises ApiError (404)."""
        proxy = self.proxies.get(name)
        if proxy is None:
            raise errors.proxy_not_found()
        return proxy

    def create(self, document: Any) -> Proxy:
        """Raises ApiError: 400 for the document, 409 for a name that is taken, 500 for a port."""
        fields = read_fields(document, PROXY_FIELDS, of="toxiproxy.Proxy")
        name, upstream = fields.get("name", ""), fields.get("upstream", "")
        check_names(name, upstream)
        if name in self.proxies:
            raise errors.proxy_exists()
        return self._add(name, fields.get("listen", ""), upstream, fields.get("enabled", True))

    def update(self, name: str, document: Any) -> Proxy:
        """Raises ApiError: 404, 400, or 500 for a port."""
        proxy = self.get(name)
        fields = read_fields(document, PROXY_FIELDS, of="toxiproxy.Proxy")
        listen, upstream = fields.get("listen", str(proxy.listen)), fields.get("upstream", proxy.upstream_text)
        if not upstream:
            raise errors.missing_field("upstream")
        proxy.update(listen, upstream, fields.get("enabled", proxy.enabled))
        return proxy

    def delete(self, name: str) -> None:
        """Raises ApiError (404)."""
        self.get(name).disable()
        del self.proxies[name]

    def reset(self) -> None:
        """Enable every proxy, take every toxic away; then raises ApiError (500) if a port could not be had."""
        failed: ApiError | None = None
        for proxy in self.proxies.values():
            try:
                proxy.enable()
            except ApiError as error:
                failed = failed or error
            proxy.remove_toxics()
        if failed is not None:
            raise failed

    def populate(self, document: Any) -> list[Proxy] | None:
        """Make the proxies of a list: one that is there with these addresses stays as it is, another is replaced.

        Raises:
            PopulateError: what could not be made; with those before it.
        """
        if document is None or document == []:
            return None
        if not isinstance(document, list):
            kind = "object" if isinstance(document, dict) else "value"
            raise PopulateError(errors.bad_body(f"json: cannot unmarshal {kind} into Go value of type []Proxy"), None)
        wanted = []
        for number, one in enumerate(document, 1):
            try:
                fields = read_fields(one, PROXY_FIELDS, of="toxiproxy.Proxy")
                for field in ("name", "upstream"):
                    if not fields.get(field):
                        raise errors.missing_field(f"{field} at proxy {number}")
                check_names(fields["name"], fields["upstream"])
            except ApiError as error:
                raise PopulateError(error, None) from None
            wanted.append(fields)
        made: list[Proxy] = []
        for fields in wanted:
            try:
                made.append(self._add_or_replace(fields))
            except ApiError as error:
                raise PopulateError(error, made) from None
        return made

    def apply(self, document: Any) -> list[Proxy]:
        """Several proxies and their toxics in one call: all of it or nothing.

        *document*: a list of proxies, each with ``toxics`` (where there are
        none, they stay as they are; ``[]`` takes all away). Proxies that are not
        named are left alone; one that differs is moved, not replaced.

        Raises:
            ApiError: something of it is wrong or a port cannot be had; then everything is as before.
        """
        if not isinstance(document, list):
            raise errors.bad_body("apply takes an array of proxies")
        wanted = [self._wanted(one) for one in document]
        names = [one.name for one in wanted]
        if len(set(names)) != len(names):
            raise errors.invalid("a proxy is named twice")
        before = {name: self._state(self.proxies[name]) for name in names if name in self.proxies}
        try:
            for one in wanted:
                self._apply_one(one)
        except ApiError:
            self._restore(names, before)
            raise
        return [self.proxies[name] for name in names]

    def close(self) -> None:
        """Every proxy lets go of its port and its connections, at once: nobody is there to wait for slow peers."""
        for proxy in self.proxies.values():
            proxy.disable()
        self.proxies.clear()
        for connection in list(self._surroundings.lingering):
            connection.close_now()

    def _add(self, name: str, listen: str, upstream: str, enabled: bool) -> Proxy:
        proxy = Proxy(self._surroundings, name, listen, upstream)
        if enabled:
            proxy.enable()
        self.proxies[name] = proxy
        return proxy

    def _add_or_replace(self, fields: Mapping[str, Any]) -> Proxy:
        name, listen, upstream = fields["name"], fields.get("listen", ""), fields["upstream"]
        there = self.proxies.get(name)
        if there is not None:
            if there.same_as(listen, upstream):
                return there
            there.disable()
            del self.proxies[name]
        return self._add(name, listen, upstream, fields.get("enabled", True))

    def _wanted(self, document: Any) -> _Wanted:
        fields = read_fields(document, _WANTED_FIELDS, of="toxiproxy.Proxy")
        name = fields.get("name", "")
        there = self.proxies.get(name)
        upstream = fields.get("upstream", there.upstream_text if there is not None else "")
        check_names(name, upstream)
        toxics = None
        if "toxics" in fields:
            toxics = [Toxic.read(one) for one in fields["toxics"]]
            if len({toxic.name for toxic in toxics}) != len(toxics):
                raise errors.toxic_exists()
        enabled = fields.get("enabled", there.enabled if there is not None else True)
        return _Wanted(name, fields.get("listen"), upstream, enabled, toxics)

    def _apply_one(self, wanted: _Wanted) -> None:
        proxy = self.proxies.get(wanted.name)
        if proxy is None:
            proxy = self._add(wanted.name, wanted.listen or "", wanted.upstream, wanted.enabled)
        else:
            proxy.update(wanted.listen or str(proxy.listen), wanted.upstream, wanted.enabled)
        if wanted.toxics is not None:
            _set_toxics(proxy, wanted.toxics)

    @staticmethod
    def _state(proxy: Proxy) -> tuple[str, str, bool, list[Toxic]]:
        return str(proxy.listen), proxy.upstream_text, proxy.enabled, list(proxy.chain)

    def _restore(self, names: list[str], before: Mapping[str, tuple[str, str, bool, list[Toxic]]]) -> None:
        for name in names:  # first let go of the ports that others are to have back
            if name not in before and name in self.proxies:
                self.delete(name)
            elif name in before and str(self.proxies[name].listen) != before[name][0]:
                self.proxies[name].disable()
        for name, (listen, upstream, enabled, toxics) in before.items():
            self.proxies[name].update(listen, upstream, enabled)
            _set_toxics(self.proxies[name], toxics)


def _set_toxics(proxy: Proxy, toxics: list[Toxic]) -> None:
    """Leave alone what is the same already: a live connection's stage keeps what it holds and counts."""
    kept = set()
    for direction in DIRECTIONS:
        wanted = [one for one in toxics if one.direction == direction]
        for there, one in zip(proxy.chain.of(direction), wanted, strict=False):
            if there.to_json() != one.to_json():
                break  # what comes after it has to be in the order of the list, too
            kept.add(one.name)
    for name in [toxic.name for toxic in proxy.chain if toxic.name not in kept]:
        proxy.remove_toxic(name)
    for toxic in toxics:
        if toxic.name not in kept:
            proxy.add_toxic(toxic)
