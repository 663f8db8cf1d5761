"""A certificate authority of the tests' own: real certificates on disk, made in milliseconds."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Authority:
    """Signs for whoever asks."""

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        self.folder, self._name = folder, self._called(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.path = folder / f"{name.replace(' ', '-')}.pem"
        made = self._builder(self._name, self._key.public_key())
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.path.write_bytes(made.sign(self._key, SHA256()).public_bytes(Encoding.PEM))

    def issue(self, name: str, *alternative: x509.GeneralName, expired: bool = False) -> tuple[Path, Path]:
        """A certificate and its key, both PEM files."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._builder(self._called(name), key.public_key(), expired=expired)
        if alternative:
            made = made.add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        paths = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        paths[0].write_bytes(made.sign(self._key, SHA256()).public_bytes(Encoding.PEM))
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        paths[1].write_bytes(secret)
        return paths

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, expired: bool = False
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        ends = now + timedelta(days=-1 if expired else 1)
        return (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=2)).not_valid_after(ends)
        )  # fmt: skip

    @staticmethod
    def _called(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def der_of(path: Path) -> bytes:
    """The certificate of a PEM file in DER."""
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
