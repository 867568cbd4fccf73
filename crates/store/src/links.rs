//! Links under which anybody who holds them may download one stored file until they expire.
//!
//! A link is signed, not stored: `<base>/files/<id>?expires=<unix seconds>&signature=<HMAC-SHA256>`. It says nothing but the
//! file's id and its own end, and neither can be changed without the key. Refuses an expired link as it refuses a forged
//! one. Nothing is written here, so nothing is lost if the process dies; links stay good over a restart because their key
//! is derived from the current master key, and over its rotation because older ones still verify.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use keywright_domain::{FileId, Timestamp};
use sha2::Sha256;

use crate::MasterKeys;

/// What the signing key is derived for.
const LABEL: &str = "file links";
const MICROS_PER_SECOND: i64 = 1_000_000;

/// Makes and checks links to stored files.
#[derive(Clone)]
pub struct FileLinks {
    base_url: String,
    masters: MasterKeys,
}

impl std::fmt::Debug for FileLinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileLinks").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

impl FileLinks {
    /// Links below `base_url`, signed with a key that is derived from the current master key.
    #[must_use]
    pub fn new(base_url: String, masters: impl Into<MasterKeys>) -> Self {
        Self { base_url: base_url.trim_end_matches('/').to_owned(), masters: masters.into() }
    }

    /// An absolute link to a file, good until the second in which `expires_at` lies.
    #[must_use]
    pub fn link(&self, file: &FileId, expires_at: Timestamp) -> String {
        let expires_s = expires_at.as_micros().div_euclid(MICROS_PER_SECOND);
        let signature = URL_SAFE_NO_PAD.encode(mac(&self.masters.derive(LABEL), file, expires_s).finalize().into_bytes());
        format!("{}/files/{file}?expires={expires_s}&signature={signature}", self.base_url)
    }

    /// Whether a link was made by us for this very file and end, and has not expired. Takes equally long for every wrong
    /// signature.
    #[must_use]
    pub fn verify(&self, file: &FileId, expires_s: i64, signature: &str, now: Timestamp) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        let is_ours = self.is_ours(file, expires_s, &signature)
            // Another node may sign with a key that came into the file since it was read here.
            || (self.masters.reload().unwrap_or(false) && self.is_ours(file, expires_s, &signature));
        is_ours && now.as_micros().div_euclid(MICROS_PER_SECOND) < expires_s
    }

    fn is_ours(&self, file: &FileId, expires_s: i64, signature: &[u8]) -> bool {
        self.masters.derive_all(LABEL).iter().any(|key| mac(key.as_slice(), file, expires_s).verify_slice(signature).is_ok())
    }
}

fn mac(key: &[u8], file: &FileId, expires_s: i64) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    // The id has a fixed length, so no two pairs of id and end give the same text.
    mac.update(format!("keywright file link v1\n{file}\n{expires_s}").as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn parts(link: &str) -> (i64, &str) {
        let (_, query) = link.split_once("?expires=").unwrap();
        let (expires, signature) = query.split_once("&signature=").unwrap();
        (expires.parse().unwrap(), signature)
    }

    #[test]
    fn a_link_is_good_for_its_own_file_until_it_expires() {
        let links = FileLinks::new("http://127.0.0.1:8080/".to_owned(), [7; 32]);
        let (file, other) = (FileId::from_entropy([1; 21]), FileId::from_entropy([2; 21]));
        let link = links.link(&file, NOW.plus_seconds(60));
        assert!(link.starts_with(&format!("http://127.0.0.1:8080/files/{file}?expires=1700000060&signature=")), "{link}");
        let (expires_s, signature) = parts(&link);
        assert!(links.verify(&file, expires_s, signature, NOW));
        assert!(links.verify(&file, expires_s, signature, NOW.plus_seconds(59)));
        assert!(!links.verify(&file, expires_s, signature, NOW.plus_seconds(60)));
        assert!(!links.verify(&other, expires_s, signature, NOW));
        assert!(!links.verify(&file, expires_s + 1, signature, NOW));
    }

    #[test]
    fn what_was_not_signed_with_our_key_is_refused() {
        let links = FileLinks::new("http://h".to_owned(), [7; 32]);
        let file = FileId::from_entropy([1; 21]);
        let forged = FileLinks::new("http://h".to_owned(), [8; 32]).link(&file, NOW.plus_seconds(60));
        let (expires_s, signature) = parts(&forged);
        assert!(!links.verify(&file, expires_s, signature, NOW));
        for signature in ["", "=", "not base64!", &signature[..20]] {
            assert!(!links.verify(&file, expires_s, signature, NOW), "{signature}");
        }
        assert!(!format!("{links:?}").contains('7'));
    }
}
