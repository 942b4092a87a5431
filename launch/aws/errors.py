"""What AWS refuses, said in the user's words: what was asked, why it was refused and what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hvdcells.errors import UserError
from hvdcells.secrets import without_secrets

CREDENTIALS = "export AWS_PROFILE or the AWS_ variables, or run `aws configure` or `aws sso login`"
_ACTION = re.compile(r"perform:? ([a-z0-9-]+:[A-Za-z]+)")

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_INVALID = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AuthFailure",
    "InvalidSignatureException",
}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "UnauthorizedException", "403"}
_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
    "BandwidthLimitExceeded",
    "PriorRequestNotComplete",
}
_QUOTA = {
    "LimitExceededException",
    "ResourceLimitExceeded",
    "ServiceQuotaExceededException",
    "VcpuLimitExceeded",
    "InstanceLimitExceeded",
    "MaxSpotInstanceCountExceeded",
    "InsufficientInstanceCapacity",
}
_QUOTA_WORDS = re.compile(r"quota|limit exceeded|exceeds? .*limit|vcpu limit|service limit", re.IGNORECASE)
_WRONG_REGION = {"PermanentRedirect", "301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_MISSING_BUCKET = {"NoSuchBucket"}
_VALIDATION = {"ValidationException", "ValidationError", "InvalidRequestException", "InvalidParameterValue"}


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Turn what botocore raises in the block into a `UserError`.

    What is AWS's own fault (an internal error that outlasts the tries) is left as it is.

    Args:
        doing: what the block asks of AWS, such as "starting an EMR cluster".
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        translated = _refused(doing, error)
        if translated is None:
            raise
        raise translated from error
    except BotoCoreError as error:
        raise _not_asked(doing, error) from error


def _refused(doing: str, error: Any) -> UserError | None:
    """Return what to say of an answer of AWS; None where the user can do nothing."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    message = str(error.response.get("Error", {}).get("Message", "")).strip() or code
    given = without_secrets(f"{doing}: {message} ({code})")
    if code in _EXPIRED:
        return UserError(given, "credentials that are still valid", f"renew them: {CREDENTIALS}")
    if code in _INVALID:
        return UserError(given, "credentials that AWS knows", CREDENTIALS)
    if code in _DENIED:
        action = _ACTION.search(message)
        needed = action.group(1) if action else error.operation_name
        return UserError(
            given,
            f"the right to {needed}",
            "let an administrator add it; launch/assets/iam in the package holds policies with all that is needed",
        )
    if code in _THROTTLED:
        tries = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) + 1
        return UserError(
            f"{given}, after {tries} tries",
            "fewer requests to this account at once",
            "wait a minute and give the same command again",
        )
    if code in _QUOTA or (_QUOTA_WORDS.search(message) and code not in _MISSING_BUCKET):
        return UserError(
            given,
            "a quota, and free machines, for what is asked",
            "ask for fewer or other machines or another region, or raise the quota (AWS console: Service Quotas)",
        )
    if code in _MISSING_BUCKET or (code == "404" and error.operation_name == "HeadBucket"):
        return UserError(given, "a bucket that exists", "correct its name, or make it: aws s3 mb s3://NAME")
    if code in _WRONG_REGION:
        return UserError(given, "the region the bucket is in", "give --region with the bucket's region")
    if code in _VALIDATION:
        return UserError(given, "a request that AWS takes", "change the option that the message names; see --dry-run")
    return None


def _not_asked(doing: str, error: Any) -> UserError:
    """Return what to say of a request that did not get as far as an answer."""
    from botocore import exceptions as botocore

    given = without_secrets(f"{doing}: {error}")
    if isinstance(error, botocore.NoCredentialsError | botocore.PartialCredentialsError):
        return UserError(given, "AWS credentials", CREDENTIALS)
    if isinstance(error, botocore.CredentialRetrievalError | botocore.SSOError | botocore.TokenRetrievalError):
        return UserError(given, "credentials that are still valid", f"renew them: {CREDENTIALS}")
    if isinstance(error, botocore.NoRegionError):
        return UserError(given, "a region", "give --region or export AWS_DEFAULT_REGION")
    if isinstance(error, botocore.ProfileNotFound):
        return UserError(given, "a profile of ~/.aws/config", "correct AWS_PROFILE")
    if isinstance(error, botocore.ParamValidationError):
        return UserError(given, "a request that botocore's model of the service allows", "correct what it names")
    if isinstance(error, botocore.HTTPClientError | botocore.ConnectionError):
        return UserError(
            given,
            "an answer of AWS",
            "check the network, --region and AWS_ENDPOINT_URL, then give the same command again",
        )
    return UserError(given, "a configuration that boto3 understands", "see what the message names")
