#!/usr/bin/env python3
# Copyright (C) 2026 The livetorrent authors
#
# This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
# If a copy of the MPL was not distributed with this file, You can obtain one at
# <https://mozilla.org/MPL/2.0/>.
#
# SPDX-License-Identifier: MPL-2.0
"""Makes the known-answer vectors in this directory with OpenSSL and Python's hashlib alone.

None of the crate's code takes part, so the vectors check PROTOCOL sections 1 and 2 from outside.
Run it with this directory as an argument to make them anew. OpenSSL draws fresh nonces and foreign
keys, so piece.bin, high-s.bin and the keys that are refused differ from run to run; the rest does not.

  key.pem         the P-256 key of RFC 6979 A.2.5 (public knowledge), PKCS#8 PEM
  key-sec1.pem    the same key as SEC 1 PEM, which is refused
  ed25519.pem     a key of another algorithm, PKCS#8 PEM, refused
  pubkey.der      SubjectPublicKeyInfo of key.pem
  stream.tstream  a stream of that key; infohash.hex is the SHA-1 of its info, in hex
  piece.bin       a piece of that stream, signed by `openssl pkeyutl`, s in the lower half
  high-s.bin      r, n - s: the signature's other form, which is refused
  *.der           public keys that are refused
"""

import hashlib
import pathlib
import struct
import subprocess
import sys
import tempfile

# RFC 6979 A.2.5 and the order of P-256 (SEC 2, 2.4.2).
PRIVATE = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def openssl(*args, stdin=b""):
    run = subprocess.run(["openssl", *args], input=stdin, capture_output=True, check=True)
    return run.stdout


def bencode(value):
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    return b"d" + b"".join(bencode(k) + bencode(value[k]) for k in sorted(value)) + b"e"


def der_integers(der):
    """The two INTEGERs of an ECDSA-Sig-Value; each is short enough for one length byte."""
    assert der[0] == 0x30 and der[1] == len(der) - 2
    rest, numbers = der[2:], []
    while rest:
        assert rest[0] == 0x02
        numbers.append(int.from_bytes(rest[2 : 2 + rest[1]], "big"))
        rest = rest[2 + rest[1] :]
    r, s = numbers
    return r, s


def sign(key_file, digest):
    """r and s of a signature by OpenSSL, s as OpenSSL gave it."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(digest)
        file.flush()
        der = openssl("pkeyutl", "-sign", "-inkey", str(key_file), "-in", file.name)
    return der_integers(der)


def public_der(algorithm, *options):
    private = openssl("genpkey", "-algorithm", algorithm, *[o for p in options for o in ("-pkeyopt", p)])
    return openssl("pkey", "-pubout", "-outform", "DER", stdin=private)


def main():
    out = pathlib.Path(sys.argv[1])
    private = b"\x02\x01\x01\x04\x20" + PRIVATE.to_bytes(32, "big") + bytes.fromhex("a00a06082a8648ce3d030107")
    bare = b"\x30" + bytes([len(private)]) + private
    public = openssl("ec", "-inform", "DER", "-pubout", "-outform", "DER", stdin=bare)
    # With the public key in it, as `openssl genpkey` writes it (RFC 5915: [1] BIT STRING).
    private += b"\xa1\x44\x03\x42\x00" + public[-65:]
    sec1 = b"\x30" + bytes([len(private)]) + private
    key = out / "key.pem"
    key.write_bytes(openssl("pkcs8", "-topk8", "-nocrypt", "-inform", "DER", stdin=sec1))
    (out / "key-sec1.pem").write_bytes(openssl("ec", "-inform", "DER", stdin=sec1))
    (out / "ed25519.pem").write_bytes(openssl("genpkey", "-algorithm", "ED25519"))
    (out / "pubkey.der").write_bytes(public)

    info = bencode({
        b"length": 512 * 16384,
        b"live": {b"authmethod": b"ECDSA", b"pubkey": public, b"version": 1},
        b"name": "Zürich live".encode(),
        b"piece length": 16384,
    })
    infohash = hashlib.sha1(info).digest()
    (out / "infohash.hex").write_text(infohash.hex())
    head = {
        b"announce": b"http://192.0.2.1:7764/announce",
        b"announce-list": [[b"http://192.0.2.1:7764/announce"], [b"udp://tracker.example:6969"]],
        b"azureus_properties": {b"Content": {b"Speed Bps": 500000, b"Title": b"Limmatquai"}},
        b"created by": b"make-vectors.py",
        b"creation date": 1767225600,
    }
    nodes = {b"nodes": [[b"router.example", 6881]]}
    file = bencode(head)[:-1] + b"4:info" + info + bencode(nodes)[1:]
    (out / "stream.tstream").write_bytes(file)

    preamble, payload = b"PAT and PMT", b"The picture and the sound"
    content = preamble + payload
    # RANDOM_ACCESS, DISCONTINUITY, START, and a bit that no version has: it is ignored.
    flags = 0x800B
    signed = struct.pack(">QQQIHH", 1767225600123456, 1767225601654321, 0, len(content), len(preamble), flags)
    message = b"livetorrent-piece-1\0" + infohash + signed + hashlib.sha256(content).digest()
    r, s = sign(key, hashlib.sha256(message).digest())
    low, high = min(s, ORDER - s), max(s, ORDER - s)
    r = r.to_bytes(32, "big")
    (out / "piece.bin").write_bytes(signed + r + low.to_bytes(32, "big") + content)
    (out / "high-s.bin").write_bytes(r + high.to_bytes(32, "big"))

    ec = lambda *args: openssl("ec", "-in", str(key), "-pubout", "-outform", "DER", *args)
    (out / "compressed.der").write_bytes(ec("-conv_form", "compressed"))
    (out / "explicit.der").write_bytes(ec("-param_enc", "explicit"))
    (out / "ed25519.der").write_bytes(public_der("ED25519"))
    (out / "rsa.der").write_bytes(public_der("RSA", "rsa_keygen_bits:2048"))
    for curve in ("secp384r1", "sect233k1", "brainpoolP256r1"):
        named = (f"ec_paramgen_curve:{curve}", "ec_param_enc:named_curve")
        (out / f"{curve}.der").write_bytes(public_der("EC", *named))


main()
