//! What a sealed value looks like, and sealing and opening with one key.
//!
//! Two formats. *Bare*: byte 1, 24 bytes of nonce, ciphertext with tag; it does not say which key it needs. Data keys are
//! wrapped in it, and a value in it needs its workspace's first data key. *Versioned*: byte 2, the data key's version (four
//! bytes, highest first), nonce, ciphertext with tag. A value under an older key is therefore smaller in its first five bytes
//! than any value under a newer one, which lets a database find it.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use super::data_keys::KeyVersion;
use super::{Place, VaultError};
use crate::Entropy;

const BARE: u8 = 1;
const VERSIONED: u8 = 2;
const NONCE_BYTES: usize = 24;
/// The format's byte and the key's version.
pub(crate) const HEADER_BYTES: usize = 5;

/// How a value that this version of a key sealed begins.
pub(crate) fn header(version: KeyVersion) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = version.get().to_be_bytes();
    [VERSIONED, a, b, c, d]
}

/// Which version of its workspace's data key a value needs.
pub(super) fn version_of(sealed: &[u8]) -> Result<KeyVersion, VaultError> {
    match sealed {
        [BARE, ..] => Ok(KeyVersion::FIRST),
        [VERSIONED, a, b, c, d, ..] => KeyVersion::new(u32::from_be_bytes([*a, *b, *c, *d])).ok_or(VaultError::DoesNotOpen),
        _ => Err(VaultError::DoesNotOpen),
    }
}

/// Seals in the bare format.
pub(super) fn seal_bare(cipher: &XChaCha20Poly1305, entropy: &dyn Entropy, place: &Place<'_>, plain: &[u8]) -> Vec<u8> {
    seal_behind(&[BARE], cipher, entropy, place, plain)
}

/// Seals in the versioned format.
pub(super) fn seal_versioned(
    version: KeyVersion,
    cipher: &XChaCha20Poly1305,
    entropy: &dyn Entropy,
    place: &Place<'_>,
    plain: &[u8],
) -> Vec<u8> {
    seal_behind(&header(version), cipher, entropy, place, plain)
}

/// Opens either format with the key that it needs.
pub(super) fn open(cipher: &XChaCha20Poly1305, place: &Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, VaultError> {
    let header_bytes = match sealed.first() {
        Some(&BARE) => 1,
        Some(&VERSIONED) => HEADER_BYTES,
        Some(_) | None => return Err(VaultError::DoesNotOpen),
    };
    let rest = sealed.get(header_bytes..).ok_or(VaultError::DoesNotOpen)?;
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(VaultError::DoesNotOpen)?;
    let aad = place.associated_data();
    cipher.decrypt(&XNonce::from(*nonce), Payload { msg: ciphertext, aad: &aad }).map_err(|_| VaultError::DoesNotOpen)
}

fn seal_behind(header: &[u8], cipher: &XChaCha20Poly1305, entropy: &dyn Entropy, place: &Place<'_>, plain: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE_BYTES] = entropy.bytes();
    let aad = place.associated_data();
    let sealed = cipher
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad })
        .expect("encryption in memory fails only beyond 256 GiB");
    let mut out = Vec::with_capacity(header.len() + NONCE_BYTES + sealed.len());
    out.extend_from_slice(header);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&sealed);
    out
}
