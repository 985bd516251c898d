"""Who may post: published vectors, rotation, the edges of the window, and headers that are not what they should be."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import example, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from domain.errors import InvalidApiKey, SettingsError, SignatureError, SignatureExpired
from domain.standard_webhooks import standard_key
from ingest.credentials import verify_api_key
from ingest.signatures import GITHUB, STANDARD, sign_standard_webhooks
from tests.ingest.requests import request

WINDOW = 300
# Vectors 1 and 2: the tests of standard-webhooks and svix. Vector 3: standard-webhooks' Rust tests. Vector 9: GitHub.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE_ID, SIGNED_AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
GITHUB_SECRET, GITHUB_BODY = "It's a Secret to Everybody", b"Hello, World!"
GITHUB_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def headers(
    signature: str = SIGNATURE,
    message_id: str = MESSAGE_ID,
    timestamp: str = str(SIGNED_AT),
    family: str = "webhook",
) -> dict[str, str]:
    return {f"{family}-id": message_id, f"{family}-timestamp": timestamp, f"{family}-signature": signature}


def verify(
    sent: Mapping[str, str], *secrets: str, body: bytes = BODY, now: float = SIGNED_AT, window: int = WINDOW
) -> str:
    return STANDARD.verify(request(sent, body, now=now, window_seconds=window), secrets or (SECRET,))


def verify_github(sent: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
    GITHUB.verify(request(sent, body), secrets)


def test_the_published_vector_verifies_and_tells_the_message_id() -> None:
    assert verify(headers()) == MESSAGE_ID


def test_the_rust_vector_verifies() -> None:
    sent = headers("v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "1649367553")
    body = b'{"email":"test@example.com","username":"test_user"}'
    assert verify(sent, OTHER_SECRET, body=body, now=1649367553) == "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"


@pytest.mark.parametrize(
    "signature",
    [
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=",
        "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLawdd",
    ],
)
def test_the_published_vectors_that_must_fail_do(signature: str) -> None:
    with pytest.raises(SignatureError) as refusal:
        verify(headers(signature))
    assert not isinstance(refusal.value, SignatureExpired)


def test_svix_names_its_headers_in_its_own_way() -> None:
    assert verify(headers(family="svix")) == MESSAGE_ID


def test_where_both_names_are_given_the_standard_one_counts() -> None:
    both = headers(family="svix") | headers(SIGNATURE.replace("E=", "A="))
    with pytest.raises(SignatureError):
        verify(both)
    assert verify(headers("v1,AAAA", family="svix") | headers()) == MESSAGE_ID


def test_the_raw_bytes_are_what_is_signed() -> None:
    with pytest.raises(SignatureError):
        verify(headers(), body=b'{"test":2432232314}')
    with pytest.raises(SignatureError):
        verify(headers(), body=BODY + b"\n")


def test_id_and_time_are_signed_too() -> None:
    with pytest.raises(SignatureError):
        verify(headers(message_id="msg_another"))
    with pytest.raises(SignatureError):
        verify(headers(timestamp=str(SIGNED_AT + 1)))


def test_while_secrets_are_rotated_either_will_do() -> None:
    assert verify(headers(), OTHER_SECRET, SECRET) == MESSAGE_ID
    assert verify(headers(), SECRET, OTHER_SECRET) == MESSAGE_ID
    with pytest.raises(SignatureError):
        verify(headers(), OTHER_SECRET)


def test_a_sender_that_rotates_may_sign_with_several_secrets() -> None:
    wrong = "v1," + base64.b64encode(bytes(32)).decode()
    assert verify(headers(f"{wrong} v1a,hnO3f9T8 {SIGNATURE} v3,whatever")) == MESSAGE_ID
    with pytest.raises(SignatureError):
        verify(headers(f"{wrong} v1a,hnO3f9T8"))


def test_without_a_secret_nothing_verifies() -> None:
    with pytest.raises(SignatureError):
        STANDARD.verify(request(headers(), BODY, now=SIGNED_AT), ())


@pytest.mark.parametrize("off", [-WINDOW, -1, 0, 1, WINDOW])
def test_a_message_is_good_up_to_the_edge_of_the_window(off: int) -> None:
    assert verify(headers(), now=SIGNED_AT + off) == MESSAGE_ID


@pytest.mark.parametrize("off", [-WINDOW - 1, -WINDOW - 0.001, WINDOW + 0.001, WINDOW + 1, 10**9])
def test_a_message_is_expired_past_the_edge_of_the_window_either_way(off: float) -> None:
    with pytest.raises(SignatureExpired):
        verify(headers(), now=SIGNED_AT + off)


@pytest.mark.parametrize(
    "timestamp",
    ["", " ", "now", "-1614265330", "+1614265330", "1614265330.0", " 1614265330", "1e9", "0x60", "1_6", "²", "9" * 13],
)
def test_a_timestamp_that_is_no_whole_number_of_seconds_is_refused(timestamp: str) -> None:
    with pytest.raises(SignatureError) as refusal:
        verify(headers(timestamp=timestamp))
    assert not isinstance(refusal.value, SignatureExpired)


@pytest.mark.parametrize("missing", ["id", "timestamp", "signature"])
@pytest.mark.parametrize("family", ["webhook", "svix"])
def test_the_three_headers_belong_together(family: str, missing: str) -> None:
    sent = headers(family=family)
    del sent[f"{family}-{missing}"]
    with pytest.raises(SignatureError):
        verify(sent)


def test_headers_of_two_families_do_not_complete_each_other() -> None:
    sent = headers()
    del sent["webhook-id"]
    with pytest.raises(SignatureError):
        verify(sent | {"svix-id": MESSAGE_ID})


@pytest.mark.parametrize(
    "sent",
    [
        headers(""),
        headers(" "),
        headers("v1"),
        headers("v1,"),
        headers("v1, "),
        headers(SIGNATURE.removeprefix("v1,")),
        headers(SIGNATURE.upper()),
        headers("v1," + SIGNATURE),
        headers(SIGNATURE.replace(",", "=")),
        headers("v1,====="),
        headers("v1,A"),
        headers("v1,é"),
        headers("v1,\u2603"),
        headers("v1,g0hM9SsE OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        headers(message_id=""),
        {},
    ],
)
def test_whatever_is_malformed_is_a_wrong_signature(sent: dict[str, str]) -> None:
    with pytest.raises(SignatureError):
        verify(sent)


def test_a_signature_without_padding_is_the_same_signature() -> None:
    assert verify(headers(SIGNATURE.rstrip("="))) == MESSAGE_ID


ANY_TEXT = st.text(max_size=60) | st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=60)
NEAR_SIGNATURES = st.sampled_from(["v1,", "v1a,", "v1", " v1,", "sha256=", ""])


@given(message_id=ANY_TEXT, timestamp=ANY_TEXT | st.just(str(SIGNED_AT)), prefix=NEAR_SIGNATURES, text=ANY_TEXT)
@example(message_id="é", timestamp=str(SIGNED_AT), prefix="v1,", text="ÿ")
@rules(max_examples=300, deadline=None)
def test_no_header_text_gets_through_or_breaks_anything(
    message_id: str, timestamp: str, prefix: str, text: str
) -> None:
    for family in ("webhook", "svix"):
        with pytest.raises(SignatureError):
            verify(headers(prefix + text, message_id, timestamp, family))
    with pytest.raises(SignatureError):
        verify_github({"x-hub-signature-256": prefix + text}, GITHUB_BODY, [GITHUB_SECRET])
    with pytest.raises(InvalidApiKey):
        verify_api_key({"authorization": prefix + text}, ["alices-key"])
    with pytest.raises(InvalidApiKey):
        verify_api_key({"x-api-key": prefix + text}, ["alices-key"])


@given(body=st.binary(max_size=200), message_id=st.text("abcdefgh_0123456789", min_size=1), key=st.binary(min_size=1))
@rules(max_examples=100, deadline=None)
def test_what_is_signed_here_verifies_here_and_only_with_its_secret(body: bytes, message_id: str, key: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    signed = sign_standard_webhooks(secret, message_id, SIGNED_AT, body)
    assert verify(signed, secret, body=body) == message_id
    with pytest.raises(SignatureError):
        verify(signed, secret, body=body + b"!")
    with pytest.raises(SignatureError):
        verify(signed, "whsec_" + base64.b64encode(key + b"!").decode(), body=body)


def test_signing_gives_the_published_headers() -> None:
    assert sign_standard_webhooks(SECRET, MESSAGE_ID, SIGNED_AT, BODY) == headers()


def test_a_secret_without_the_prefix_is_taken_as_text() -> None:
    signed = sign_standard_webhooks("my own words", MESSAGE_ID, SIGNED_AT, BODY)
    signature = hmac.digest(b"my own words", f"{MESSAGE_ID}.{SIGNED_AT}.".encode() + BODY, hashlib.sha256)
    assert signed["webhook-signature"] == "v1," + base64.b64encode(signature).decode()
    assert verify(signed, "my own words") == MESSAGE_ID


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64", "whsec_é", "whsec_====", "whsec_A"])
def test_a_secret_that_could_never_verify_is_a_setting_to_mend(secret: str) -> None:
    with pytest.raises(SettingsError, match="base64") as refusal:
        standard_key(secret)
    assert secret not in refusal.value.message or secret == "whsec_"


def test_githubs_vector_verifies() -> None:
    verify_github({"x-hub-signature-256": GITHUB_SIGNATURE}, GITHUB_BODY, [GITHUB_SECRET])
    verify_github({"x-hub-signature-256": GITHUB_SIGNATURE}, GITHUB_BODY, ["the next one", GITHUB_SECRET])


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256",
        "sha256=",
        GITHUB_SIGNATURE.removeprefix("sha256="),
        GITHUB_SIGNATURE.replace("sha256", "sha1"),
        GITHUB_SIGNATURE[:-1],
        GITHUB_SIGNATURE + "0",
        GITHUB_SIGNATURE.replace("757", "758"),
        "sha256=é",
    ],
)
def test_a_wrong_signature_of_githubs_kind_is_refused(signature: str | None) -> None:
    sent = {} if signature is None else {"x-hub-signature-256": signature}
    with pytest.raises(SignatureError):
        verify_github(sent, GITHUB_BODY, [GITHUB_SECRET])


def test_githubs_signature_covers_the_body_and_needs_the_secret() -> None:
    with pytest.raises(SignatureError):
        verify_github({"x-hub-signature-256": GITHUB_SIGNATURE}, GITHUB_BODY + b"!", [GITHUB_SECRET])
    with pytest.raises(SignatureError):
        verify_github({"x-hub-signature-256": GITHUB_SIGNATURE}, GITHUB_BODY, ["another"])
    with pytest.raises(SignatureError):
        verify_github({"x-hub-signature-256": GITHUB_SIGNATURE}, GITHUB_BODY, [])


@pytest.mark.parametrize(
    "sent",
    [
        {"authorization": "Bearer alices-key"},
        {"authorization": "bearer  alices-key "},
        {"x-api-key": "alices-key"},
        {"x-api-key": "bobs-key"},
        {"authorization": "Basic YWxpY2U6", "x-api-key": "alices-key"},
    ],
)
def test_any_of_the_keys_will_do_under_either_name(sent: dict[str, str]) -> None:
    verify_api_key(sent, ["alices-key", "bobs-key"])


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ({}, "missing"),
        ({"authorization": ""}, "missing"),
        ({"authorization": "Bearer"}, "missing"),
        ({"authorization": "Bearer "}, "missing"),
        ({"x-api-key": " "}, "missing"),
        ({"authorization": "alices-key"}, "missing"),
        ({"x-api-key": "charlies-key"}, "wrong"),
        ({"x-api-key": "alices-ke"}, "wrong"),
        ({"x-api-key": "alices-key,bobs-key"}, "wrong"),
        ({"authorization": "Bearer charlies-key", "x-api-key": "alices-key"}, "wrong"),
    ],
)
def test_a_key_that_is_missing_or_wrong_is_refused(sent: dict[str, str], reason: str) -> None:
    with pytest.raises(InvalidApiKey, match=reason):
        verify_api_key(sent, ["alices-key", "bobs-key"])


def test_without_a_key_set_every_key_is_refused() -> None:
    for sent in ({}, {"x-api-key": "anything"}, {"x-api-key": ""}):
        with pytest.raises(InvalidApiKey, match="no API key set"):
            verify_api_key(sent, [])


CHECKS: dict[str, Callable[[], object]] = {
    "a wrong signature": lambda: verify(headers("v1,AAAA")),
    "an old one": lambda: verify(headers(timestamp="0")),
    "a wrong one of GitHub's kind": lambda: verify_github({}, GITHUB_BODY, [GITHUB_SECRET]),
}


@pytest.mark.parametrize("check", CHECKS)
def test_a_refusal_tells_no_secret_and_no_right_signature(check: str) -> None:
    with pytest.raises(SignatureError) as refusal:
        CHECKS[check]()
    told = refusal.value.message + refusal.value.hint
    assert not any(word in told for word in (SECRET[6:], GITHUB_SECRET, SIGNATURE[3:], GITHUB_SIGNATURE[7:]))
