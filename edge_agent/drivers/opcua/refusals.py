"""What a server's refusal means in plain words, and what to do: the StatusCodes of security and sign-in.

By number (OPC 10000-6, annex A), so that this page knows no library. Each is the same tomorrow: somebody has to change
something first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class RefusedBy:
    """What a StatusCode says, and what the person at the machine does."""

    words: str
    do: str


TRUST_US: Final = "on the server, move this gateway's certificate from the rejected to the trusted ones"
_LOGIN: Final = "check username and password_file, and that the server allows this user"
_RENEW_OURS: Final = "make a new one: edge-agent probe opcua --make-certificate, then trust it on the server"
_POLICY: Final = (
    'edge-agent probe opcua shows which policies and modes the server offers; set "security" and "security_mode" to one'
)

REFUSALS: Final[dict[int, RefusedBy]] = {
    0x80130000: RefusedBy(  # BadSecurityChecksFailed: most servers say no more than this, on purpose
        "the server does not accept this gateway's certificate (valid here), and does not say why", TRUST_US
    ),
    0x801A0000: RefusedBy("the server does not trust this gateway's certificate", TRUST_US),  # BadCertificateUntrusted
    0x80120000: RefusedBy("the server calls this gateway's certificate invalid", TRUST_US),  # BadCertificateInvalid
    0x80140000: RefusedBy(  # BadCertificateTimeInvalid
        "by the server's clock this gateway's certificate is expired or not yet valid; by ours it is valid",
        "set the server's clock right, or the gateway's; edge-agent probe opcua shows how far they are apart",
    ),
    0x80150000: RefusedBy(  # BadCertificateIssuerTimeInvalid
        "by the server's clock the CA of this gateway's certificate is expired or not yet valid",
        "renew the CA's certificate on the server, or set its clock right",
    ),
    0x80160000: RefusedBy(  # BadCertificateHostNameInvalid
        "the server does not accept the host name in this gateway's certificate",
        "let the server ignore host names of clients, or make a certificate with this gateway's name",
    ),
    0x80170000: RefusedBy(  # BadCertificateUriInvalid
        "the application URI in this gateway's certificate is not the one it says it is", _RENEW_OURS
    ),
    0x80180000: RefusedBy(  # BadCertificateUseNotAllowed
        "this gateway's certificate may not be used for this: its key usage lacks what OPC UA asks for", _RENEW_OURS
    ),
    0x80190000: RefusedBy(  # BadCertificateIssuerUseNotAllowed
        "the CA of this gateway's certificate may not sign certificates", "have it signed by a CA that may"
    ),
    0x801B0000: RefusedBy(  # BadCertificateRevocationUnknown
        "the server cannot tell whether this gateway's certificate was revoked",
        "give the server the revocation list (CRL) of the CA",
    ),
    0x801C0000: RefusedBy(  # BadCertificateIssuerRevocationUnknown
        "the server cannot tell whether the CA of this gateway's certificate was revoked",
        "give the server the revocation list (CRL) of that CA's issuer",
    ),
    0x801D0000: RefusedBy("the server has this gateway's certificate as revoked", _RENEW_OURS),  # BadCertificateRevoked
    0x801E0000: RefusedBy(  # BadCertificateIssuerRevoked
        "the server has the CA of this gateway's certificate as revoked", _RENEW_OURS
    ),
    0x810D0000: RefusedBy(  # BadCertificateChainIncomplete
        "the server lacks the CA that signed this gateway's certificate", "give the server the CA's certificate"
    ),
    0x81140000: RefusedBy(  # BadCertificatePolicyCheckFailed
        "this gateway's certificate is not what the server's policy asks for (length of key, signature)", _RENEW_OURS
    ),
    0x80540000: RefusedBy("the server does not take this security mode", _POLICY),  # BadSecurityModeRejected
    0x80550000: RefusedBy("the server does not take this security policy", _POLICY),  # BadSecurityPolicyRejected
    0x80E60000: RefusedBy(  # BadSecurityModeInsufficient
        "the server wants a higher security mode for this", 'set security_mode = "sign_and_encrypt"'
    ),
    0x80580000: RefusedBy(  # BadApplicationSignatureInvalid
        "the server cannot check this gateway's signature", "do certificate_file and private_key_file belong together?"
    ),
    0x801F0000: RefusedBy("the server knows no such user, or the password is wrong", _LOGIN),  # BadUserAccessDenied
    0x80200000: RefusedBy("the server cannot use this way of signing in", _LOGIN),  # BadIdentityTokenInvalid
    0x80210000: RefusedBy("the server does not let this user in", _LOGIN),  # BadIdentityTokenRejected
    0x80570000: RefusedBy(  # BadUserSignatureInvalid
        "the server cannot check the user certificate's signature",
        "do user_certificate_file and user_private_key_file belong together?",
    ),
    0x80830000: RefusedBy(  # BadTcpEndpointUrlInvalid
        "the server has no endpoint of this address", "edge-agent probe opcua shows the addresses it says itself"
    ),
}

SERVER_PROOF: Final = RefusedBy(
    "the server did not prove that it holds the key of its certificate: it may be another machine in its place",
    "find out what answers at this address; was the server's key or certificate replaced without a restart?",
)
NO_CHANNEL: Final = RefusedBy(
    "the server shows its endpoints and does not open a secure channel: most likely it does not trust this gateway's"
    " certificate, or does not hold the key of its own",
    TRUST_US,
)
