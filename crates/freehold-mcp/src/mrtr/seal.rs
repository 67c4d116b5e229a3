//! The envelope around a `requestState`: version, expiry, authentication code, content. What the state is bound to (method,
//! params, principal) is in the code only, and so need not be sent.

use super::{digest::Digest, options::RequestStateKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::time::Duration;

const VERSION: u8 = 1;
const CODE_BYTES: usize = 32;
const HEAD_BYTES: usize = 1 + 8 + CODE_BYTES;
/// So that the key can do no harm if something else is protected with it, too.
const PURPOSE: &[u8] = b"freehold-mcp requestState";

/// What a state belongs to.
#[derive(Clone, Debug)]
pub(super) struct Binding<'a> {
    pub(super) method: &'a str,
    pub(super) params: Digest,
    /// Who asked; empty if the transport knows nobody.
    pub(super) principal: &'a [u8],
}

/// A state is none of this server's, of another request, or too old. One word for all but the last: which it is is
/// nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotOpened {
    Foreign,
    Expired,
}

fn code(key: &RequestStateKey, expiry: u64, binding: &Binding<'_>, content: &[u8]) -> Hmac<Sha256> {
    // A key of any length will do for it.
    let mut code = Hmac::<Sha256>::new_from_slice(key.bytes()).unwrap_or_else(|_| unreachable!());
    code.update(PURPOSE);
    code.update(&[VERSION]);
    code.update(&expiry.to_be_bytes());
    for part in [binding.method.as_bytes(), &binding.params, binding.principal, content] {
        code.update(&(part.len() as u64).to_be_bytes());
        code.update(part);
    }
    code
}

/// How long a sealed state of so many bytes will be.
pub(super) fn sealed_length(content: usize) -> usize {
    (HEAD_BYTES + content).div_ceil(3).saturating_mul(4)
}

/// Seals `content` until `expiry`, counted from 1970.
pub(super) fn seal(key: &RequestStateKey, expiry: Duration, binding: &Binding<'_>, content: &[u8]) -> String {
    let expiry = expiry.as_secs();
    let mut sealed = Vec::with_capacity(HEAD_BYTES + content.len());
    sealed.push(VERSION);
    sealed.extend_from_slice(&expiry.to_be_bytes());
    sealed.extend_from_slice(&code(key, expiry, binding, content).finalize().into_bytes());
    sealed.extend_from_slice(content);
    URL_SAFE_NO_PAD.encode(sealed)
}

/// The content of a state, if one of the keys sealed it for this.
pub(super) fn open(
    keys: &[RequestStateKey],
    now: Duration,
    binding: &Binding<'_>,
    sealed: &str,
) -> Result<Vec<u8>, NotOpened> {
    let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| NotOpened::Foreign)?;
    let Some((head, content)) = sealed.split_at_checked(HEAD_BYTES) else { return Err(NotOpened::Foreign) };
    let (version, rest) = head.split_at(1);
    let (expiry, given) = rest.split_at(8);
    let expiry = u64::from_be_bytes(expiry.try_into().unwrap_or_default());
    // In constant time for each key.
    let fits = |key| code(key, expiry, binding, content).verify_slice(given).is_ok();
    if version != [VERSION] || !keys.iter().any(fits) {
        return Err(NotOpened::Foreign);
    }
    if Duration::from_secs(expiry) < now { Err(NotOpened::Expired) } else { Ok(content.to_vec()) }
}

#[cfg(test)]
mod tests {
    use super::{Binding, NotOpened, open, seal, sealed_length};
    use crate::mrtr::options::RequestStateKey;
    use std::time::Duration;

    fn key(byte: u8) -> RequestStateKey {
        RequestStateKey::new([byte; 32]).unwrap()
    }

    const BINDING: Binding<'static> =
        Binding { method: "tools/call", params: [7; 32], principal: b"somebody" };
    const NOW: Duration = Duration::from_secs(1_000);

    #[test]
    fn what_was_sealed_opens_for_the_same_request_only() {
        let sealed = seal(&key(1), NOW, &BINDING, b"content");
        assert_eq!(sealed.len(), sealed_length(7));
        let open = |keys: &[RequestStateKey], binding: &Binding<'_>| open(keys, NOW, binding, &sealed);
        assert_eq!(open(&[key(1)], &BINDING).as_deref(), Ok(&b"content"[..]));
        assert_eq!(open(&[key(2), key(1)], &BINDING).as_deref(), Ok(&b"content"[..]));
        assert_eq!(open(&[key(2)], &BINDING), Err(NotOpened::Foreign));
        for other in [
            Binding { method: "prompts/get", ..BINDING },
            Binding { params: [8; 32], ..BINDING },
            Binding { principal: b"somebody else", ..BINDING },
            Binding { principal: b"", ..BINDING },
        ] {
            assert_eq!(open(&[key(1)], &other), Err(NotOpened::Foreign), "{other:?}");
        }
    }

    #[test]
    fn it_opens_until_it_expires() {
        let sealed = seal(&key(1), NOW, &BINDING, b"");
        let second = Duration::from_secs(1);
        assert!(open(&[key(1)], NOW, &BINDING, &sealed).is_ok());
        assert_eq!(open(&[key(1)], NOW + second, &BINDING, &sealed), Err(NotOpened::Expired));
    }

    #[test]
    fn no_changed_byte_goes_unnoticed() {
        let sealed = seal(&key(1), NOW, &BINDING, b"content");
        for at in 0..sealed.len() {
            for other in [b'A', b'B', b'-', b'='] {
                let mut changed = sealed.clone().into_bytes();
                if changed[at] == other {
                    continue;
                }
                changed[at] = other;
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(open(&[key(1)], NOW, &BINDING, &changed), Err(NotOpened::Foreign), "byte {at}");
            }
        }
        for other in ["", "A", &sealed[1..], &sealed[..sealed.len() - 1], &format!("{sealed}-TAMPERED")] {
            assert_eq!(open(&[key(1)], NOW, &BINDING, other), Err(NotOpened::Foreign), "{other}");
        }
    }
}
