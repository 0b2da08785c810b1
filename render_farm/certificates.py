"""Keys for a farm: one authority, one certificate, made in a folder that only its owner can read.

Dask checks that both ends hold a certificate of the same authority, so whoever has the folder belongs to the farm.
"""

import datetime
import os
from pathlib import Path

from synth.errors import SynthError

__all__ = ["make", "paths", "usual"]

NAMES = ("ca.pem", "node.pem", "node.key")
_DAYS = 365


def usual() -> Path:
    """Where this user's keys are, unless others are named."""
    return Path.home() / ".raiment" / "farm-keys"


def paths(folder: Path) -> tuple[Path, Path, Path]:
    """Authority, certificate and key in a folder made by `make`.

    Raises:
        SynthError: one of them is missing.
    """
    found = (folder / NAMES[0], folder / NAMES[1], folder / NAMES[2])
    for path in found:
        if not path.is_file():
            hint = (
                f"Copy the folder from the scheduler's host, or make keys with `synth farm certs {folder}`; see --certs"
            )
            raise SynthError(f"{path}: no such file", hint)
    return found


def make(folder: Path) -> bool:
    """Make an authority and a certificate; the authority's own key is thrown away, so none can be added later.

    Args:
        folder: Where to put them. Nothing happens if they are there.

    Returns:
        True if they were made.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if all((folder / name).is_file() for name in NAMES):
        return False
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ours = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "raiment farm authority")])
    node = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "raiment farm node")])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=10)  # clocks differ

    def signed(subject: x509.Name, public: ec.EllipticCurvePublicKey, authority_too: bool) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ours)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=_DAYS))
            .add_extension(x509.BasicConstraints(ca=authority_too, path_length=None), critical=True)
        )
        return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    contents = (signed(ours, authority.public_key(), True), signed(node, key.public_key(), False), secret)
    for name, content in zip(NAMES, contents, strict=True):
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    return True
