"""What servers of object storage say, in our words: in errors of Rust libraries.

A server's answer may repeat the keys that it was asked with: of an answer nothing is told but its
code.
"""

import re

__all__ = ["NO_KEYS", "said_by_server"]

ADDRESS = re.compile(r"https?://[^\s/?#<>\"')]+")
CODE = re.compile(r"<Code>(\w+)</Code>")
STATUS = re.compile(r"status code: (\d{3})")
OF_A_REQUEST = re.compile(r"Error performing (?:\w+ )?\S|HTTP error|error sending request")

MACHINE = "169.254.169.254"
"""Where machines of clouds are asked for their keys; nothing answers elsewhere."""
NO_KEYS = (
    "no keys to object storage: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE "
    "(s3://), GOOGLE_APPLICATION_CREDENTIALS (gs://), or AZURE_STORAGE_ACCOUNT_NAME and "
    "AZURE_STORAGE_ACCOUNT_KEY (az://)"
)

BY_CODE = {
    "InvalidAccessKeyId": "the server does not know the access key; check AWS_ACCESS_KEY_ID, or "
    "AWS_PROFILE, and that AWS_ENDPOINT_URL names the server that the key is for",
    "SignatureDoesNotMatch": "the secret key is not that of the access key; check "
    "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "ExpiredToken": "the keys have expired; get new ones (AWS_SESSION_TOKEN is one of them)",
    "RequestTimeTooSkewed": "the clock of this machine is not the server's; set it",
    "NoSuchBucket": "there is no such bucket on the server; make it, or check its name and "
    "AWS_ENDPOINT_URL",
    "PermanentRedirect": "the bucket is in another region; set AWS_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_REGION",
    "AccessDenied": "the keys do not give the right to do it; whoever owns the bucket must allow "
    "listing, reading, writing and deleting below the store's prefix",
    "SlowDown": "the server asks to be asked less often (503 SlowDown), again and again; run the "
    "same command again later",
}
BY_STATUS = {
    "301": BY_CODE["PermanentRedirect"],
    "401": "the server wants keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "403": BY_CODE["AccessDenied"],
    "404": "what answers there is no server of object storage; check AWS_ENDPOINT_URL",
    "412": "another program changed it at the same time; run the same command again",
    "501": "the server does not know how to do what was asked; is it one that speaks S3?",
}
BY_WORDS = {
    "Connection refused": "nobody answers there; check AWS_ENDPOINT_URL, and that the server runs",
    "dns error": "no machine has that name; check AWS_ENDPOINT_URL, the region and the network",
    "Network is unreachable": "there is no way to it; check the network",
    "No route to host": "there is no way to it; check the network",
    "URL scheme is not allowed": "it is not encrypted (http); use https, or set "
    "AWS_ALLOW_HTTP=true if nobody can listen on the way",
    "scheme is not http": "it is not encrypted (http); use https, or set AWS_ALLOW_HTTP=true",
    "BadScheme": "it is not encrypted (http); use https, or set AWS_ALLOW_HTTP=true if nobody "
    "can listen on the way",
    "certificate": "its certificate is not trusted; check the address",
    "timed out": "it did not answer in time; check the network, and run the same command again",
    "Connection reset": "the connection broke; run the same command again",
    "connection closed": "the connection broke; run the same command again",
    "IncompleteMessage": "the connection broke; run the same command again",
    "error decoding": "the answer was cut off, or is none of S3; check AWS_ENDPOINT_URL",
    "Invalid response": "the answer is none of S3; check AWS_ENDPOINT_URL",
    "InvalidContentType": "it does not speak https; does the address begin with http://?",
    "corrupt message": "it does not speak https; does the address begin with http://?",
}


def said_by_server(text: str) -> str | None:
    """Return what is wrong, in one line with what to do; None for an error that is no server's.

    Parameters
    ----------
    text : str
        What a library says.

    Examples
    --------
    >>> said_by_server("Generic S3 error: Error performing GET http://h:1/b/k in 2ms - Server "
    ...     "returned non-2xx status code: 403 Forbidden: <Code>SlowDown</Code>")
    'http://h:1: the server asks to be asked less often (503 SlowDown), again and again; run the \
same command again later'
    """
    if MACHINE in text:
        return NO_KEYS
    if not OF_A_REQUEST.search(text):
        return None
    where = ADDRESS.search(text)
    begins = f"{where[0]}: " if where else ""
    code, status = CODE.search(text), STATUS.search(text)
    if code is not None and code[1] in BY_CODE:
        return begins + BY_CODE[code[1]]
    if status is not None:
        named = f" {code[1]}" if code is not None else ""
        plain = f"the server answered {status[1]}{named}; run the same command again later"
        return begins + BY_STATUS.get(status[1], plain)
    for words, said in BY_WORDS.items():
        if words in text:
            return begins + said
    return begins + "the request failed; check AWS_ENDPOINT_URL and the network"
