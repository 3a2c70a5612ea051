// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! The broadcaster's key: ECDSA on P-256 (SEC 1, FIPS 186-5), kept as PKCS#8 PEM (RFC 5958).
//!
//! Of the two signatures (r, s) and (r, n − s) that ECDSA gives every message only the one with the
//! lower s is made and accepted, so that nobody can turn a signed piece into another that verifies too.
//!
//! p256 reads, writes and signs. ring verifies, in a third of p256's time: a source signs each
//! piece once, and most of what a viewer computes is the check of it. Tests hold the two against each
//! other.
//!
//! That signing takes as long whatever the key is, and that its number is overwritten in memory when it
//! is dropped, is p256's doing; what is read and written of it here is overwritten too ([`Zeroizing`]).

use p256::{
    ecdsa::{Signature, SigningKey, VerifyingKey, signature::Signer},
    elliptic_curve::{Generate, scalar::IsHigh},
    pkcs8::{
        AlgorithmIdentifierRef, EncodePrivateKey, LineEnding, ObjectIdentifier, PrivateKeyInfoRef,
        SecretDocument, SubjectPublicKeyInfoRef,
    },
};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

/// Text that is overwritten when it is dropped; what a private key is written and read as.
pub use p256::elliptic_curve::zeroize::Zeroizing;

/// Bytes of the only public key form: a DER SubjectPublicKeyInfo of an uncompressed P-256 point.
pub const DER_LEN: usize = 91;

/// Bytes of the point in it: 4, x, y (SEC 1 §2.3.3).
const POINT_LEN: usize = 65;

/// What stands before the point (RFC 5480): SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 },
/// BIT STRING of 65 bytes }.
const DER_PREFIX: [u8; DER_LEN - POINT_LEN] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// Names for the errors: what a file that is not ours most likely holds.
const NAMES: [(&str, &str); 18] = [
    ("1.2.840.113549.1.1.1", "RSA"),
    ("1.2.840.113549.1.1.10", "RSA-PSS"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.3.101.110", "X25519"),
    ("1.3.101.111", "X448"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("1.2.840.10045.2.1", "ECDSA"),
    ("1.2.840.10045.3.1.1", "P-192"),
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.33", "secp224r1"),
    ("1.3.132.0.34", "secp384r1"),
    ("1.3.132.0.35", "secp521r1"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.132.0.26", "sect233k1"),
    ("1.3.132.0.27", "sect233r1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1"),
];

/// A signature that does not verify, or is not in the one form that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// What signs pieces. Never shown: its `Debug` tells nothing.
#[derive(Clone)]
pub struct PrivateKey(SigningKey);

/// What verifies them: a point that is on the curve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; POINT_LEN]);

/// Why a key cannot be read. Tells nothing of a private key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not PEM (RFC 7468).
    #[error("not a PEM file")]
    Pem,
    /// PEM, but of something else than an unencrypted PKCS#8 key.
    #[error("the PEM file holds {0}, not an unencrypted PKCS#8 \"PRIVATE KEY\"")]
    Label(&'static str),
    /// The bytes are not the DER that they should be.
    #[error("not DER of {0}")]
    Der(&'static str),
    /// Another algorithm than ECDSA, by name or dotted object identifier.
    #[error("the key's algorithm is {0}; this program reads ECDSA on P-256")]
    Algorithm(String),
    /// Another curve than P-256, by name or dotted object identifier.
    #[error("the key's curve is {0}; this program reads P-256")]
    Curve(String),
    /// The curve is spelt out as parameters, or missing.
    #[error("the key's curve is not given by name; this program reads the named curve P-256")]
    Unnamed,
    /// The point stands there by x alone.
    #[error("the key's point is compressed; this program reads uncompressed points")]
    Compressed,
    /// More or fewer bytes than the one form has.
    #[error("the key has {0} bytes instead of 91")]
    Length(usize),
    /// x and y are no point of the curve.
    #[error("the key's point is not on P-256")]
    Point,
    /// Zero, not below the curve's order, or not what the public key beside it belongs to.
    #[error("the private key's number is not valid for P-256, or its public part is another key's")]
    Number,
}

fn name(oid: ObjectIdentifier) -> String {
    let dotted = oid.to_string();
    NAMES
        .iter()
        .find(|(known, _)| *known == dotted)
        .map_or(dotted, |(_, name)| (*name).to_owned())
}

/// Refuses all but ECDSA on the named curve P-256.
fn check_algorithm(algorithm: &AlgorithmIdentifierRef<'_>) -> Result<(), KeyError> {
    if algorithm.oid != EC_PUBLIC_KEY {
        return Err(KeyError::Algorithm(name(algorithm.oid)));
    }
    match algorithm.parameters_oid() {
        Ok(P_256) => Ok(()),
        Ok(other) => Err(KeyError::Curve(name(other))),
        Err(_) => Err(KeyError::Unnamed),
    }
}

/// What a PEM label stands for, where it is none of ours.
fn describe_label(label: &str) -> &'static str {
    match label {
        "EC PRIVATE KEY" => {
            "an \"EC PRIVATE KEY\" (SEC 1; `openssl pkcs8 -topk8 -nocrypt` turns it)"
        }
        "EC PARAMETERS" => "\"EC PARAMETERS\"",
        "ENCRYPTED PRIVATE KEY" => "an \"ENCRYPTED PRIVATE KEY\"",
        "RSA PRIVATE KEY" => "an \"RSA PRIVATE KEY\"",
        "PUBLIC KEY" => "a \"PUBLIC KEY\"",
        "CERTIFICATE" => "a \"CERTIFICATE\"",
        _ => "something else",
    }
}

impl PrivateKey {
    /// A new key from the system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self(SigningKey::generate())
    }

    /// Reads PKCS#8 PEM.
    ///
    /// # Errors
    /// [`KeyError`]; never with any of the text in it.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let (label, document) = SecretDocument::from_pem(pem).map_err(|_| KeyError::Pem)?;
        if label != "PRIVATE KEY" {
            return Err(KeyError::Label(describe_label(label)));
        }
        let info = PrivateKeyInfoRef::try_from(document.as_bytes())
            .map_err(|_| KeyError::Der("a PKCS#8 private key"))?;
        check_algorithm(&info.algorithm)?;
        SigningKey::try_from(info)
            .map(Self)
            .map_err(|_| KeyError::Number)
    }

    /// PKCS#8 PEM, for the key file only.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        self.0
            .to_pkcs8_pem(LineEnding::LF)
            .expect("every P-256 key has a PKCS#8 form")
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        let point = self.0.verifying_key().to_sec1_point(false);
        let point = point.as_bytes().try_into();
        PublicKey(point.expect("an uncompressed point has 65 bytes"))
    }

    /// r ‖ s over the message's SHA-256, s in the lower half. Deterministic (RFC 6979).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.0.sign(message);
        signature.normalize_s().to_bytes().into()
    }
}

impl PublicKey {
    /// Reads a DER SubjectPublicKeyInfo: 91 bytes, named curve P-256, uncompressed point.
    ///
    /// # Errors
    /// [`KeyError`] that names another algorithm or curve.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let point = der
            .strip_prefix(&DER_PREFIX)
            .and_then(|point| <[u8; POINT_LEN]>::try_from(point).ok())
            .filter(|point| point[0] == 4)
            .ok_or_else(|| explain(der))?;
        VerifyingKey::from_sec1_bytes(&point).map_err(|_| KeyError::Point)?;
        Ok(Self(point))
    }

    /// DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        [&DER_PREFIX[..], &self.0].concat()
    }

    /// Whether `signature` (r ‖ s, both ≥ 1, s in the lower half) signs the message's SHA-256.
    ///
    /// # Errors
    /// [`BadSignature`] where it does not.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), BadSignature> {
        // Refuses r and s of zero and from the curve's order up.
        let parts = Signature::from_slice(signature).map_err(|_| BadSignature)?;
        if parts.s().is_high().into() {
            return Err(BadSignature);
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.0)
            .verify(message, signature)
            .map_err(|_| BadSignature)
    }
}

/// Why bytes are not the one form of a public key that is read.
fn explain(der: &[u8]) -> KeyError {
    let Ok(info) = SubjectPublicKeyInfoRef::try_from(der) else {
        return match der.len() {
            DER_LEN => KeyError::Der("a public key (SubjectPublicKeyInfo)"),
            other => KeyError::Length(other),
        };
    };
    if let Err(error) = check_algorithm(&info.algorithm) {
        return error;
    }
    match info.subject_public_key.raw_bytes().first() {
        Some(2 | 3) => KeyError::Compressed,
        _ if der.len() != DER_LEN => KeyError::Length(der.len()),
        _ => KeyError::Point,
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrivateKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::ecdsa::signature::Verifier;
    use proptest::prelude::*;

    const PEM: &str = include_str!("../../tests/data/key.pem");
    const DER: &[u8] = include_bytes!("../../tests/data/pubkey.der");

    fn rfc_6979_key() -> PrivateKey {
        PrivateKey::from_pem(PEM).unwrap()
    }

    /// The signatures of RFC 6979 A.2.5 with SHA-256.
    fn rfc_6979_signature(r: &[u8], s: &[u8]) -> [u8; 64] {
        let bytes = [
            data_encoding::HEXUPPER.decode(r).unwrap(),
            data_encoding::HEXUPPER.decode(s).unwrap(),
        ];
        bytes.concat().try_into().unwrap()
    }

    #[test]
    fn a_key_that_openssl_wrote_is_read_and_has_the_public_key_that_openssl_gives_it() {
        assert_eq!(rfc_6979_key().public_key().to_der(), DER);
        assert_eq!(
            PublicKey::from_der(DER).unwrap(),
            rfc_6979_key().public_key()
        );
    }

    #[test]
    fn a_key_is_written_as_openssl_writes_it() {
        assert_eq!(rfc_6979_key().to_pem().as_str(), PEM);
    }

    #[test]
    fn signing_gives_the_signature_of_rfc_6979_with_s_in_the_lower_half() {
        // A.2.5, message "test": s is in the lower half there too.
        let test = rfc_6979_signature(
            b"F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367",
            b"019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
        );
        assert_eq!(rfc_6979_key().sign(b"test"), test);
        // Message "sample": s is in the upper half there, so its negative is what we give.
        let high = rfc_6979_signature(
            b"EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
            b"F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
        );
        let ours = rfc_6979_key().sign(b"sample");
        assert_eq!(ours[..32], high[..32]);
        assert_ne!(ours[32..], high[32..]);
        let public = rfc_6979_key().public_key();
        assert_eq!(public.verify(b"sample", &ours), Ok(()));
        assert_eq!(public.verify(b"sample", &high), Err(BadSignature));
    }

    #[test]
    fn r_and_s_of_zero_or_of_the_order_are_refused() {
        let message = [7; 32];
        let key = rfc_6979_key();
        let good = key.sign(&message);
        let order = data_encoding::HEXUPPER
            .decode(b"FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551")
            .unwrap();
        for part in [0..32, 32..64] {
            for value in [vec![0; 32], order.clone(), vec![0xff; 32]] {
                let mut bad = good;
                bad[part.clone()].copy_from_slice(&value);
                assert_eq!(key.public_key().verify(&message, &bad), Err(BadSignature));
            }
        }
        assert_eq!(key.public_key().verify(&message, &good), Ok(()));
    }

    #[test]
    fn keys_of_other_algorithms_and_curves_are_refused_by_name() {
        let refused: [(&[u8], KeyError); 7] = [
            (
                include_bytes!("../../tests/data/ed25519.der"),
                KeyError::Algorithm("Ed25519".into()),
            ),
            (
                include_bytes!("../../tests/data/rsa.der"),
                KeyError::Algorithm("RSA".into()),
            ),
            (
                include_bytes!("../../tests/data/secp384r1.der"),
                KeyError::Curve("secp384r1".into()),
            ),
            (
                include_bytes!("../../tests/data/sect233k1.der"),
                KeyError::Curve("sect233k1".into()),
            ),
            (
                include_bytes!("../../tests/data/brainpoolP256r1.der"),
                KeyError::Curve("brainpoolP256r1".into()),
            ),
            (
                include_bytes!("../../tests/data/compressed.der"),
                KeyError::Compressed,
            ),
            (
                include_bytes!("../../tests/data/explicit.der"),
                KeyError::Unnamed,
            ),
        ];
        for (der, error) in refused {
            assert_eq!(PublicKey::from_der(der), Err(error));
        }
    }

    #[test]
    fn an_unknown_curve_is_shown_as_its_object_identifier() {
        let mut der = DER.to_vec();
        der[22] = 0x06;
        assert_eq!(
            PublicKey::from_der(&der).unwrap_err().to_string(),
            "the key's curve is 1.2.840.10045.3.1.6; this program reads P-256"
        );
    }

    #[test]
    fn a_public_key_with_any_flipped_bit_or_missing_or_added_byte_is_refused_or_another_key() {
        let ours = PublicKey::from_der(DER).unwrap();
        for bit in 0..DER.len() * 8 {
            let mut der = DER.to_vec();
            der[bit / 8] ^= 1 << (bit % 8);
            assert!(PublicKey::from_der(&der).is_err(), "bit {bit}");
        }
        for len in 0..DER.len() {
            assert!(PublicKey::from_der(&DER[..len]).is_err());
        }
        let long = [DER, &[0]].concat();
        assert_eq!(PublicKey::from_der(&long), Err(KeyError::Length(92)));
        assert_eq!(ours.to_der(), DER);
    }

    #[test]
    fn other_pem_is_refused_without_any_of_its_text() {
        let sec1 = include_str!("../../tests/data/key-sec1.pem");
        let ed25519 = include_str!("../../tests/data/ed25519.pem");
        let sec1_error = PrivateKey::from_pem(sec1).unwrap_err();
        assert!(matches!(sec1_error, KeyError::Label(_)));
        assert_eq!(
            PrivateKey::from_pem(ed25519).unwrap_err(),
            KeyError::Algorithm("Ed25519".into())
        );
        assert_eq!(PrivateKey::from_pem("").unwrap_err(), KeyError::Pem);
        let odd = PEM.replace("PRIVATE KEY", "SECRET SAUCE");
        let error = PrivateKey::from_pem(&odd).unwrap_err().to_string();
        assert!(!error.contains("SAUCE"), "{error}");
        assert_eq!(format!("{:?}", rfc_6979_key()), "PrivateKey");
    }

    #[test]
    fn a_private_key_beside_the_public_key_of_another_is_refused() {
        let (_, document) = SecretDocument::from_pem(PEM).unwrap();
        let mut der = document.to_bytes();
        let point = der.len() - 64;
        let other = PrivateKey::generate().public_key().to_der();
        der[point..].copy_from_slice(&other[DER_LEN - 64..]);
        let pem = SecretDocument::try_from(der.as_slice())
            .unwrap()
            .to_pem("PRIVATE KEY", LineEnding::LF)
            .unwrap();
        assert_eq!(PrivateKey::from_pem(&pem).unwrap_err(), KeyError::Number);
    }

    #[test]
    fn a_new_key_comes_back_from_its_pem() {
        let key = PrivateKey::generate();
        let again = PrivateKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!(again.public_key(), key.public_key());
        let message = [1; 32];
        let signature = again.sign(&message);
        assert_eq!(key.public_key().verify(&message, &signature), Ok(()));
        let other = PrivateKey::generate().public_key();
        assert_eq!(other.verify(&message, &signature), Err(BadSignature));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(PublicKey::from_der(&bytes).is_err());
            prop_assert!(PrivateKey::from_pem(&String::from_utf8_lossy(&bytes)).is_err());
        }

        #[test]
        fn a_damaged_key_file_never_panics_and_never_is_another_key(
            at in 0..PEM.len(), byte in 0x20u8..0x7f,
        ) {
            let mut pem = PEM.as_bytes().to_vec();
            pem[at] = byte;
            let pem = String::from_utf8(pem).unwrap();
            // The point in the file guards the number, so a damaged number is noticed.
            if let Ok(key) = PrivateKey::from_pem(&pem) {
                prop_assert_eq!(key.public_key().to_der(), DER);
            }
        }

        #[test]
        fn every_signature_verifies_and_no_other_message_does(
            message in proptest::collection::vec(any::<u8>(), 1..200), bit: proptest::sample::Index,
        ) {
            let key = rfc_6979_key();
            let signature = key.sign(&message);
            prop_assert_eq!(key.public_key().verify(&message, &signature), Ok(()));
            let mut other = message;
            let bit = bit.index(other.len() * 8);
            other[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(key.public_key().verify(&other, &signature), Err(BadSignature));
        }

        #[test]
        fn two_libraries_judge_every_signature_alike(
            message: [u8; 32], bits in proptest::collection::vec(0usize..512, 0..3),
        ) {
            let key = PrivateKey::generate();
            let mut bytes = key.sign(&message);
            for bit in bits {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let other = Signature::from_slice(&bytes).is_ok_and(|signature| {
                let is_low = signature.normalize_s() == signature;
                is_low && key.0.verifying_key().verify(&message, &signature).is_ok()
            });
            prop_assert_eq!(key.public_key().verify(&message, &bytes).is_ok(), other);
        }
    }
}
