"""What is wrong with the certificate of a server that we would not talk to, in a sentence."""

import ssl

EXPIRED, OTHER_NAME, OTHER_ADDRESS = 10, 62, 64  # X509_V_ERR_… of OpenSSL


def certificate_trouble(error: BaseException | None) -> tuple[str, str] | None:
    """(what is wrong, how to mend it) when a connection failed for TLS, by the error or its cause; else None."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if error is None:
        return None
    if not isinstance(error, ssl.SSLCertVerificationError):
        return "does not speak TLS as we do", "Look whether the address should begin with redis: or rediss:."
    if error.verify_code == EXPIRED:
        return "its certificate has expired", "Renew it on the server, and have the server read it again."
    if error.verify_code in (OTHER_NAME, OTHER_ADDRESS):
        return (
            "its certificate is for another host than the one in the address",
            "Connect by the name that the certificate is for, or have one made for this name.",
        )
    return (
        "its certificate is of no authority that we trust",
        "Add ?ssl_ca_certs=FILE to the address, the file of the authority that signed it.",
    )
