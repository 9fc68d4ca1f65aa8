//! Globally routable URIs (RFC 5627): one phone of a user, whatever its contact is just now.
//!
//! ```text
//!   public     sip:alice@example.com;gr=urn:uuid:…    as long as the phone keeps its instance
//!   temporary  sip:tgruu.9f…@example.com;gr           new with each REGISTER, tells nothing of the user; until the phone's
//!                                                     Call-ID changes or its binding ends
//! ```

use super::{Binding, BindingId, Registrar};
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::sip::wire::{HeaderName, Message, Uri};
use std::fmt::Write;

/// Temporary ones that are kept of a binding; the oldest are forgotten first, whose phone has long got newer ones.
const TEMPORARY_MAX: usize = 8;
const TEMPORARY: &str = "tgruu.";

/// What stands behind `gr=`: the instance without its brackets; `None` where it cannot stand in a URI.
fn parameter(instance: &str) -> Option<&str> {
    let bare = instance.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(instance);
    let fits = |c: u8| c.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$".contains(&c);
    (!bare.is_empty() && bare.bytes().all(fits)).then_some(bare)
}

/// The address of record of a REGISTER, as its GRUUs have it; `None`: the phone does not know GRUUs.
pub(super) fn wanted(request: &Message) -> Option<(String, String)> {
    if !request.lists(HeaderName::Supported, "gruu") {
        return None;
    }
    let to = request.to()?;
    let uri = to.parsed_uri()?;
    let port = uri.port.map_or(String::new(), |port| format!(":{port}"));
    Some((format!("{}:{}", uri.scheme, uri.user), format!("{}{port}", uri.host)))
}

/// The parameters of a Contact in the 200.
pub(super) fn write(value: &mut String, binding: &Binding, (user, host): &(String, String)) {
    let (Some(gr), Some(newest)) = (parameter(&binding.instance), binding.temporary.back()) else { return };
    let scheme = user.split(':').next().unwrap_or("sip");
    let _ = write!(value, ";pub-gruu=\"{user}@{host};gr={gr}\";temp-gruu=\"{scheme}:{newest}@{host};gr\"");
}

impl Registrar {
    /// Gives what was just registered a further temporary GRUU.
    pub(super) fn name_again(&mut self, now: Instant, aor: &str, call_id: &str, rng: &mut Rng) {
        let is_new = |b: &Binding| b.refreshed_at == now && b.call_id == call_id && parameter(&b.instance).is_some();
        let ids: Vec<BindingId> = self.of(aor).filter(|(_, b)| is_new(b)).map(|(id, _)| id).collect();
        for id in ids {
            let Some((_, binding)) = self.bindings.get_mut(id) else { continue };
            let name = format!("{TEMPORARY}{:016x}{:016x}", rng.next_u64(), rng.next_u64());
            binding.temporary.push_back(name.clone());
            let oldest = (binding.temporary.len() > TEMPORARY_MAX).then(|| binding.temporary.pop_front()).flatten();
            self.temporary.insert(name, id);
            if let Some(oldest) = oldest {
                self.temporary.remove(&oldest);
            }
        }
    }

    pub(super) fn forget_names(&mut self, names: impl IntoIterator<Item = String>) {
        for name in names {
            self.temporary.remove(&name);
        }
    }

    /// The user and the instance that a GRUU means: `Ok(None)` if the URI is none of ours (no `gr`, or of no user); 404 if it was
    /// temporary and has ended, 480 if its phone is not registered now (RFC 5627 §5.3).
    pub fn phone_of(&self, now: Instant, uri: &Uri<'_>) -> Result<Option<(String, String)>, u16> {
        let Some(gr) = uri.params.get("gr") else { return Ok(None) };
        let user = uri.user_decoded();
        if user.starts_with(TEMPORARY) {
            let known = self.temporary.get(user.as_ref()).and_then(|id| self.get(*id));
            let (aor, binding) = known.filter(|(_, b)| b.expires_at > now).ok_or(404u16)?;
            return Ok(Some((aor.to_owned(), binding.instance.clone())));
        }
        let gr = crate::sip::wire::percent_decode(gr);
        if gr.is_empty() {
            return Ok(None);
        }
        let is_it = |b: &&Binding| parameter(&b.instance).is_some_and(|own| own.eq_ignore_ascii_case(&gr));
        match self.lookup(now, &user).into_iter().find(is_it) {
            Some(binding) => Ok(Some((user.into_owned(), binding.instance.clone()))),
            None => Err(480),
        }
    }
}
