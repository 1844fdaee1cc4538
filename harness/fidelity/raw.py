"""Requests made by hand, signed as a client signs them: what boto3 hides of the two protocols."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

from harness.fidelity.bench import Bench, Differs

__all__ = ["NAMESPACE", "Reply", "json_request", "query_get", "query_request"]

NAMESPACE = "http://queue.amazonaws.com/doc/2012-11-05/"
_VERSION = "2012-11-05"


@dataclass(frozen=True)
class Reply:
    """An answer as it came: header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises Differs if it is none."""
        try:
            found = json.loads(self.body or "{}")
        except ValueError:
            raise Differs(f"the body is no JSON: {self.body[:16]!r}") from None
        if not isinstance(found, dict):
            raise Differs(f"the body is no JSON object: {self.body[:16]!r}")
        return found

    def find(self, path: str) -> str | None:
        """The text of an element of the XML body, by its path below the root without namespaces.

        Raises:
            Differs: the body is no XML.
        """
        element = self.element(path)
        return None if element is None else element.text or ""

    def element(self, path: str) -> ElementTree.Element | None:
        """An element by its path below the root. Raises Differs if the body is no XML."""
        node: ElementTree.Element | None = self.root()
        for name in path.split("/"):
            node = next((child for child in node if _local(child) == name), None) if node is not None else None
        return node

    def root(self) -> ElementTree.Element:
        try:
            return ElementTree.fromstring(self.body)
        except ElementTree.ParseError:
            raise Differs(f"the body is no XML: {self.body[:16]!r}") from None

    @property
    def root_name(self) -> str:
        return _local(self.root())

    @property
    def namespace(self) -> str:
        return self.root().tag.partition("}")[0].lstrip("{")


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def json_request(bench: Bench, operation: str, parameters: dict[str, Any], url: str | None = None) -> Reply:
    """A JSON request to the service, or to a queue's URL."""
    headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AmazonSQS.{operation}"}
    return _send(bench, f"{operation} (JSON)", "POST", url, headers, json.dumps(parameters), parameters)


def query_request(
    bench: Bench, operation: str, parameters: dict[str, str], url: str | None = None, **headers: str
) -> Reply:
    """A query request (a form by POST) to the service, or to a queue's URL."""
    form = {"Action": operation, "Version": _VERSION, **parameters}
    given = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", **headers}
    return _send(bench, f"{operation} (query)", "POST", url, given, urlencode(form), form)


def query_get(bench: Bench, parameters: dict[str, str], url: str | None = None, **headers: str) -> Reply:
    """A query request by GET: *parameters* stand in the URL."""
    target = url or bench.site.endpoint + "/"
    full = f"{target}?{urlencode(parameters)}" if parameters else target
    return _send(bench, "GET", "GET", full, headers, "", parameters)


def _send(
    bench: Bench, what: str, method: str, url: str | None, headers: dict[str, str], body: str, shown: Any
) -> Reply:
    bench.look()
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    from botocore.httpsession import URLLib3Session

    request = AWSRequest(method=method, url=_here(bench, url), data=body.encode(), headers=headers)
    SigV4Auth(Credentials(*bench.site.keys()), "sqs", bench.site.region).add_auth(request)
    session = URLLib3Session(timeout=30)
    try:
        answer = session.send(request.prepare())
    finally:
        session.close()
    reply = Reply(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.text)
    bench.tape.raw(what, shown, reply.status, reply.headers, reply.body)
    return reply


def _here(bench: Bench, url: str | None) -> str:
    """*url* at the endpoint of the run: a server behind a forwarded port may give URLs of another host."""
    base = urlsplit(bench.site.endpoint)
    if url is None:
        return f"{base.scheme}://{base.netloc}/"
    given = urlsplit(url)
    return f"{base.scheme}://{base.netloc}{given.path or '/'}{'?' + given.query if given.query else ''}"
