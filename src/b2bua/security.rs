//! SRTP of one leg by its session description (RFC 4568): our keys, and from what is agreed the keys of the media leg.

use crate::config::Srtp;
use crate::rtp::srtp::{KeySource, Keys, Master, Suite};
use crate::sdp::{Crypto, Secured};
use std::fmt;

/// Whether a leg's media is protected, and what its keys are made from: one for each suite, the same for the leg's whole life.
#[derive(Clone, Default)]
pub struct Security {
    policy: Srtp,
    seed: [u8; 32],
}

impl Security {
    /// `seed` is secret and for this leg only.
    pub const fn new(policy: Srtp, seed: [u8; 32]) -> Security {
        Security { policy, seed }
    }

    /// Whether RTP without SRTP is taken and offered.
    pub fn takes_plain(&self) -> bool {
        self.policy != Srtp::Required
    }

    /// Our keys for a description.
    pub fn keys(&self) -> Vec<Crypto> {
        if self.policy == Srtp::Off {
            return Vec::new();
        }
        let mut source = KeySource::new(self.seed);
        let key = |(n, suite): (usize, Suite)| {
            Crypto::new(n as u32 + 1, suite.name(), Master::generate(suite, &mut source).material())
        };
        Suite::ALL.into_iter().enumerate().map(key).collect()
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} <secret>", self.policy)
    }
}

/// Keys for the media leg, of what a description has settled. They are there: a suite that we do not have is never agreed on.
pub fn media_keys(secured: &Secured) -> Option<Keys> {
    let master = |crypto: &Crypto| {
        let mut material = crypto.material();
        let master = Master::new(Suite::from_name(&crypto.suite)?, &material, &crypto.mki);
        material.fill(0);
        master
    };
    Some(Keys { send: master(&secured.send)?, receive: master(&secured.receive)? })
}
