//! Passwords of users, as the web configuration has them.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use parking_lot::Mutex;
use ring::digest::{Context, SHA256};
use tokio::sync::Semaphore;

use crate::process;
use crate::web_config::Users;

/// Passwords that are remembered as right.
const REMEMBERED_MAX: usize = 100;
/// Hashes of passwords that are made at once: each takes tens of milliseconds of a core, for
/// whoever asks.
const HASHES_AT_ONCE: usize = 1;
/// The hash that stands for a user who does not exist, so that the time of an answer does not tell
/// who does.
const NOBODY: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

/// Asks for passwords, and remembers those that were right.
#[derive(Debug)]
pub(super) struct Passwords {
    /// SHA-256 over user, hash and password.
    right: Mutex<HashSet<[u8; 32]>>,
    places: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            right: Mutex::default(),
            places: Semaphore::new(HASHES_AT_ONCE),
        }
    }
}

impl Passwords {
    /// True when the request with `headers` comes from one of `users`.
    pub(super) async fn admits(&self, users: &Users, headers: &HeaderMap) -> bool {
        let Some((name, password)) = credentials(headers) else {
            return false;
        };
        let known = users.hash_of(&name);
        let hash = known.unwrap_or(NOBODY).to_owned();
        let digest = digest(&[&name, &hash, &password]);
        if known.is_some() && self.right.lock().contains(&digest) {
            return true;
        }
        let Ok(_place) = self.places.acquire().await else {
            return false;
        };
        let verifying = process::blocking(move || bcrypt::verify(&password, &hash));
        let is_right = verifying.await.unwrap_or(false) && known.is_some();
        if is_right {
            let mut right = self.right.lock();
            if right.len() >= REMEMBERED_MAX {
                right.clear();
            }
            right.insert(digest);
        }
        is_right
    }
}

/// The name and the password of `Authorization: Basic`.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// One digest over several texts, whose lengths are part of it.
fn digest(texts: &[&str]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for text in texts {
        context.update(&(text.len() as u64).to_le_bytes());
        context.update(text.as_bytes());
    }
    let digest = context.finish();
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
