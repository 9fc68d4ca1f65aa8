//! How a leg's digits come and go, by what was configured for its peer and what has been negotiated.

use super::Session;
use crate::config::Dtmf;
use crate::media::command::{Method, Tones};

impl Session {
    /// How digits are exchanged with this peer; before anything is described.
    pub const fn set_dtmf(&mut self, dtmf: Dtmf) {
        self.dtmf = dtmf;
    }

    /// By what digits reach this peer: `None` where there is no way.
    pub fn digits_out(&self) -> Option<Method> {
        let agreed = self.agreed.as_ref()?;
        match self.dtmf {
            Dtmf::Info => Some(Method::Info),
            _ if agreed.dtmf.is_some() => Some(Method::Rfc4733),
            Dtmf::Rfc4733 => None,
            Dtmf::Auto | Dtmf::Inband => super::is_ours(&agreed.send).then_some(Method::Inband),
        }
    }

    /// Whether the peer can send digits as RFC 4733.
    pub fn has_events(&self) -> bool {
        self.agreed.as_ref().is_some_and(|a| a.dtmf.is_some())
    }

    /// Says what is to become of digits that may come as tones; [`Session::refresh`] makes it so.
    pub const fn want_tones(&mut self, wanted: Tones) {
        self.tones_wanted = wanted;
    }

    /// Whether nobody is to hear what the peer enters.
    pub const fn is_sealed(&self) -> bool {
        matches!(self.tones_wanted, Tones::Sealed)
    }

    pub(super) fn tones(&self) -> Tones {
        match (self.dtmf, self.tones_wanted) {
            (_, Tones::Sealed) => Tones::Sealed,
            _ if self.has_events() => Tones::Passed,
            (Dtmf::Inband, Tones::Passed) => Tones::Told,
            (Dtmf::Auto | Dtmf::Inband, wanted) => wanted,
            (Dtmf::Rfc4733 | Dtmf::Info, _) => Tones::Passed,
        }
    }
}
