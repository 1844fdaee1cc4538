"""What :mod:`harness.resilience.errors` knows about other people's errors, as data.

Classes are named by the first part of their module and their own name
(``botocore.ReadTimeoutError``), so that no library has to be imported to
recognise its errors. A rule is a word or several: ``transient`` or
``permanent``, with ``throttling`` (the service asks for less) or ``timeout``
(no answer came in time: the call may have taken effect) beside it, or a
reference (``tls``, ``reply``, ``inner``, ``os``, ``sqlite``) to a closer look.
"""

from __future__ import annotations

__all__ = [
    "AWS_CODES",
    "AWS_CODE_ENDINGS",
    "CLASSES",
    "REDIS_REPLIES",
    "TLS_PERMANENT",
    "TRANSIENT_ERRNOS",
    "VALIDATION_MODULES",
]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _table(rules: dict[str, str]) -> dict[str, str]:
    return {name: rule for rule, names in rules.items() for name in names.split()}


#: AWS error codes, without namespace (``AWS.SimpleQueueService.``, ``com.amazonaws.sqs#``).
#: Throttling codes: those of botocore's standard retry mode, and of services whose own models add some.
#: A code about credentials is transient when time or a refresh mends it, permanent when only a person can.
AWS_CODES: dict[str, str] = _table(
    {
        "transient throttling": """
            Throttling ThrottlingException ThrottledException RequestThrottledException RequestThrottled
            TooManyRequestsException TooManyRequests ProvisionedThroughputExceededException
            ProvisionedThroughputExceeded RequestLimitExceeded BandwidthLimitExceeded LimitExceededException
            LimitExceeded SlowDown PriorRequestNotComplete EC2ThrottledException KmsThrottled
            KMSThrottlingException OverLimit SnsThrottled ThrottlingError RateExceeded""",
        "transient timeout": "RequestTimeout RequestTimeoutException GatewayTimeout",
        "transient": """
            InternalError InternalFailure InternalServerError InternalServerException InternalServiceError
            InternalServiceException InternalServiceFault ServiceUnavailable ServiceUnavailableException
            Unavailable ServiceException ServerException ServiceFailure
            TransactionInProgressException TransactionConflictException ReplicatedWriteConflictException
            ConcurrentModificationException
            OperationAborted ModelNotReadyException IDPCommunicationError
            QueueDeletedRecently PurgeQueueInProgress KmsInternal KmsInvalidState
            ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired ExpiredTokenIdException
            RequestTimeTooSkewed RequestInTheFuture RequestNotYetValid""",
        "permanent": """
            AccessDenied AccessDeniedException UnauthorizedOperation UnauthorizedAccess AuthFailure NotAuthorized
            AuthorizationError AuthorizationErrorException InvalidClientTokenId UnrecognizedClientException
            InvalidAccessKeyId InvalidSecurity InvalidSecurityToken MissingAuthenticationToken
            MissingAuthenticationTokenException IncompleteSignature IncompleteSignatureException
            SignatureDoesNotMatch InvalidSignatureException OptInRequired PendingVerification InvalidUserID.NotFound
            InvalidAddress KmsAccessDenied KmsDisabled KmsNotFound KmsOptInRequired
            NonExistentQueue QueueDoesNotExist QueueNameExists QueueAlreadyExists
            ReceiptHandleIsInvalid InvalidReceiptHandle MessageNotInflight InvalidMessageContents
            InvalidIdFormat InvalidAttributeName InvalidAttributeValue UnsupportedOperation
            UnsupportedOperationException BatchRequestTooLong BatchEntryIdsNotDistinct EmptyBatchRequest
            InvalidBatchEntryId TooManyEntriesInBatchRequest MessageTooLong MessageTooLarge
            InvalidParameterValue InvalidParameterValueException InvalidParameterCombination
            InvalidParameterCombinationException InvalidParameter InvalidParameterException
            InvalidQueryParameter MalformedQueryString MissingParameter MissingAction InvalidAction
            UnknownOperationException ValidationError ValidationException ValidationFailure InvalidInput
            InvalidRequest InvalidRequestException SerializationException MalformedInput
            ResourceNotFoundException ResourceNotFound NotFound NotFoundException NoSuchKey NoSuchBucket
            NoSuchEntity ResourceAlreadyExistsException ItemCollectionSizeLimitExceededException
            EntityTooLarge RequestEntityTooLarge RequestEntityTooLargeException PayloadTooLargeException
            ContentTooLargeException UnsupportedMediaTypeException""",
    }
)

#: For codes that no table names: services follow these habits in their own codes.
AWS_CODE_ENDINGS: tuple[tuple[str, str], ...] = (
    ("Throttled", "transient throttling"),
    ("ThrottledException", "transient throttling"),
    ("ThrottlingException", "transient throttling"),
    ("AccessDenied", "permanent"),
    ("ValidationException", "permanent"),
    ("NotFound", "permanent"),
    ("NotFoundException", "permanent"),
)

#: Classes of known libraries. The most specific class of an error's MRO that is listed decides.
CLASSES: dict[str, str] = _table(
    {
        "transient": """
            botocore.IncompleteReadError botocore.ResponseStreamingError botocore.MetadataRetrievalError
            botocore.CredentialRetrievalError botocore.TokenRetrievalError botocore.ChecksumError
            botocore.CapacityNotAvailableError
            redis.ConnectionError redis.BusyLoadingError redis.ReadOnlyError redis.OutOfMemoryError
            redis.TryAgainError redis.ClusterDownError redis.MasterDownError redis.MovedError redis.AskError
            redis.SlotNotCoveredError redis.MaxConnectionsError redis.ClusterError redis.WatchError
            redis.InvalidResponse redis.MasterNotFoundError redis.SlaveNotFoundError
            urllib3.ProtocolError urllib3.IncompleteRead urllib3.ResponseError urllib3.PoolError
            requests.ChunkedEncodingError requests.RetryError
            httpx.RemoteProtocolError httpcore.RemoteProtocolError
            aiohttp.ServerDisconnectedError aiohttp.ClientPayloadError
            http.RemoteDisconnected http.IncompleteRead http.BadStatusLine http.CannotSendRequest
            http.ResponseNotReady asyncio.IncompleteReadError
            pybreaker.CircuitBreakerError circuitbreaker.CircuitBreakerError aiobreaker.CircuitBreakerError
            purgatory.OpenedState tenacity.RetryError""",
        "transient timeout": """
            botocore.ReadTimeoutError botocore.ConnectTimeoutError redis.TimeoutError
            urllib3.TimeoutError urllib3.ReadTimeoutError urllib3.ConnectTimeoutError
            requests.Timeout requests.ConnectTimeout requests.ReadTimeout
            httpx.TimeoutException httpcore.TimeoutException aiohttp.ServerTimeoutError builtins.TimeoutError""",
        "connection": """
            botocore.HTTPClientError botocore.ConnectionError botocore.EndpointConnectionError
            botocore.ConnectionClosedError botocore.ProxyConnectionError
            urllib3.NewConnectionError urllib3.ProxyError urllib3.NameResolutionError
            requests.ConnectionError requests.ProxyError
            httpx.NetworkError httpx.ConnectError httpx.ReadError httpx.WriteError httpx.CloseError httpx.ProxyError
            httpcore.NetworkError httpcore.ProxyError
            aiohttp.ClientConnectionError aiohttp.ClientConnectorError aiohttp.ClientOSError
            socket.gaierror socket.herror builtins.ConnectionError""",
        "tls": """
            botocore.SSLError urllib3.SSLError requests.SSLError ssl.SSLError aiohttp.ClientSSLError
            aiohttp.ClientConnectorSSLError""",
        "reply": "redis.ResponseError",
        "inner": "urllib3.MaxRetryError urllib.URLError",
        "os": "builtins.OSError",
        "sqlite": "sqlite3.OperationalError",
        "permanent": """
            ssl.SSLCertVerificationError aiohttp.ClientConnectorCertificateError
            botocore.ParamValidationError botocore.ValidationError botocore.NoCredentialsError
            botocore.PartialCredentialsError botocore.NoAuthTokenError botocore.NoRegionError
            botocore.ProfileNotFound botocore.ConfigNotFound botocore.ConfigParseError botocore.UnknownServiceError
            botocore.UnknownEndpointError botocore.BaseEndpointResolverError botocore.EndpointProviderError
            botocore.MissingParametersError botocore.UnauthorizedSSOTokenError botocore.SSOTokenLoadError
            botocore.LoginError botocore.InvalidProxiesConfigError botocore.UnseekableStreamError
            redis.AuthenticationError redis.AuthenticationWrongNumberOfArgsError redis.AuthorizationError
            redis.NoPermissionError redis.DataError redis.ModuleError redis.ClusterCrossSlotError
            redis.CrossSlotTransactionError redis.InvalidPipelineStack
            urllib3.LocationValueError urllib3.LocationParseError urllib3.InvalidHeader urllib3.DecodeError
            requests.InvalidURL requests.MissingSchema requests.InvalidSchema requests.InvalidHeader
            requests.InvalidProxyURL requests.TooManyRedirects requests.ContentDecodingError
            requests.JSONDecodeError requests.InvalidJSONError requests.UnrewindableBodyError
            httpx.UnsupportedProtocol httpx.LocalProtocolError httpx.DecodingError httpx.TooManyRedirects
            httpx.InvalidURL aiohttp.InvalidURL aiohttp.TooManyRedirects aiohttp.ContentTypeError
            http.InvalidURL http.UnknownProtocol
            json.JSONDecodeError simplejson.JSONDecodeError builtins.UnicodeError""",
    }
)

#: First word of a Redis error reply -> rule. redis-py keeps it where it has no class of its own for the error.
REDIS_REPLIES: dict[str, str] = _table(
    {
        "transient": """
            LOADING READONLY OOM BUSY TRYAGAIN CLUSTERDOWN MASTERDOWN MISCONF NOREPLICAS MOVED ASK UNBLOCKED
            NOGOODSLAVE INPROG""",
        "permanent": "NOAUTH WRONGPASS NOPERM WRONGTYPE CROSSSLOT DENIED NOPROTO",
    }
)

#: Why OpenSSL gave up (``SSLError.reason``), where a later try cannot succeed.
TLS_PERMANENT = frozenset(
    _words("""CERTIFICATE_VERIFY_FAILED WRONG_VERSION_NUMBER UNSUPPORTED_PROTOCOL NO_PROTOCOLS_AVAILABLE
    TLSV1_ALERT_PROTOCOL_VERSION TLSV1_ALERT_UNKNOWN_CA TLSV13_ALERT_CERTIFICATE_REQUIRED
    SSLV3_ALERT_BAD_CERTIFICATE SSLV3_ALERT_CERTIFICATE_EXPIRED SSLV3_ALERT_CERTIFICATE_UNKNOWN
    SSLV3_ALERT_HANDSHAKE_FAILURE NO_SHARED_CIPHER HTTP_REQUEST""")
)

#: Names of ``errno`` values that pass with time. Names, because the numbers differ between systems.
TRANSIENT_ERRNOS: tuple[str, ...] = _words(
    """ECONNABORTED ECONNREFUSED ECONNRESET EPIPE ESHUTDOWN ETIMEDOUT EHOSTUNREACH EHOSTDOWN ENETUNREACH
    ENETDOWN ENETRESET ENOTCONN EADDRNOTAVAIL EAGAIN EINTR EMFILE ENFILE ENOBUFS ENOMEM EBUSY"""
)

#: Libraries whose ``ValidationError`` says that the input is wrong.
VALIDATION_MODULES = frozenset(
    _words("pydantic pydantic_core jsonschema marshmallow msgspec fastjsonschema voluptuous cattrs schematics")
)
