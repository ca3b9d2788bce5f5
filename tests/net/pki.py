"""pki.py - a certificate authority that signs whatever name a client asks for."""
import datetime
import hashlib
import ipaddress
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM
CA_USAGE = x509.KeyUsage(
    key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False,
    key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
    decipher_only=False)


def subject_of(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


class Authority:
    def __init__(self, folder):
        self.folder = folder
        self.contexts = {}
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.leaf_key = ec.generate_private_key(ec.SECP256R1())     # one for all servers
        self.file = os.path.join(folder, "ca.pem")                  # for curl --cacert
        self.name = subject_of("ringfence test authority")
        own = self.sign(self.name, self.key.public_key(),
                        (x509.BasicConstraints(True, None), True), (CA_USAGE, True),
                        (x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False))
        with open(self.file, "wb") as file:
            file.write(own.public_bytes(PEM))

    def sign(self, subject, key, *extensions):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(self.name)
                   .public_key(key).serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(days=1))
                   .not_valid_after(now + datetime.timedelta(days=30)))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())

    def server(self, name):
        """A server's SSLContext with a certificate for this name or address."""
        if name not in self.contexts:
            self.contexts[name] = self.make_server(name)
        return self.contexts[name]

    def make_server(self, name):
        try:
            san = x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            san = x509.DNSName(name)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        cert = self.sign(subject_of(name), self.leaf_key.public_key(),
                         (x509.SubjectAlternativeName([san]), False), (issuer, False))
        path = os.path.join(self.folder, hashlib.sha256(name.encode()).hexdigest()[:16] + ".pem")
        with open(path, "wb") as file:
            file.write(cert.public_bytes(PEM))
            file.write(self.leaf_key.private_bytes(PEM, serialization.PrivateFormat.PKCS8,
                                                   serialization.NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def client(self):
        return ssl.create_default_context(cafile=self.file)
