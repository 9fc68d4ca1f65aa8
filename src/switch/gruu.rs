//! Requests to one phone of a user (RFC 5627): by a GRUU that the registrar gave it.

use super::world::World;
use crate::sip::wire::Uri;

/// One phone of a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Phone {
    pub user: String,
    /// As registered in `+sip.instance`.
    pub instance: String,
}

impl World {
    /// The phone that a URI means; `None`: it means no phone in particular. The status that refuses it: 404 for a temporary one
    /// that has ended, 480 while the phone is not registered.
    pub fn phone_of(&self, uri: &str) -> Result<Option<Phone>, u16> {
        let Some(uri) = Uri::parse(uri).filter(|uri| uri.params.get("gr").is_some()) else { return Ok(None) };
        let is_users = self.user(&uri.user_decoded()).is_some() || uri.params.get("gr") == Some("");
        if !is_users {
            return Ok(None);
        }
        let phone = self.registrar.phone_of(self.now.mono, &uri)?;
        Ok(phone.map(|(user, instance)| Phone { user, instance }))
    }
}
